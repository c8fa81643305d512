"""One model in a program of its own and behind Triton, measured side by side."""
