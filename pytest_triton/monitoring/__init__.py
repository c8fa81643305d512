"""A real Prometheus and a real Alertmanager, and what somebody hands in for them."""
