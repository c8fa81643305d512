"""Objectives over a window, by the client's account and by the server's. Import the submodules."""
