"""What limits a model under load, and what to change. Import the submodules."""
