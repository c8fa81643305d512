"""Traces of requests: spans that a collector of ours takes, files of traces, what they say."""
