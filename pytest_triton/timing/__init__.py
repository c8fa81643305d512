"""What the clauses on latency observe: shared runs, and what they say of the way to the model."""
