"""What nobody should send, and what a server makes of it. Imports hypothesis when it is used."""
