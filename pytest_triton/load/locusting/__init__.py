"""Locust, distributed: prepared requests out of workers on several machines, into one record."""
