"""A Llama behind Triton: built, served in two forms, judged against transformers, and timed."""
