"""Thin typed calls over HTTP and gRPC. Import the submodules: this package loads nothing."""
