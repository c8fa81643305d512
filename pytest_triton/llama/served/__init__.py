"""Files of the streaming model: copied into a repository, where Triton runs them."""
