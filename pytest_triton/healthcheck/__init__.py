"""Health checks that somebody hands in, read and tried."""
