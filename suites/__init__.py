"""The tests that judge a Triton deployment: assertions only, one or more for each clause."""
