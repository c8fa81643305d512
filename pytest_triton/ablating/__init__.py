"""One change of a TorchScript model at a time, and what it brings when it is served."""
