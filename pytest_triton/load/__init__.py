"""Load generation, statistics and statistical verdicts. Import the submodules."""
