"""What a repository's models take of a machine's memory and its GPUs', and whether that grows."""
