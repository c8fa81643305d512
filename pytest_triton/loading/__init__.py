"""Load for people: ``pytest-triton load``, against a server that is there."""
