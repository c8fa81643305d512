"""Model repositories: read, write, build. Nothing in here imports torch."""
