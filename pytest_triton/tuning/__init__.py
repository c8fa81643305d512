"""Whether the settings of a model's configuration pay: each is taken back, and measured."""
