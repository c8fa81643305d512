"""A sandbox for what a submission runs: its server, its scripts.

``bubblewrap.py`` builds command lines; ``active.py`` says whether this process has to use it;
``outside.py`` starts the judge in a network of its own, which the sandboxes below it share.
"""
