"""``pytest-triton init``: a repository to start from, for a module or a HuggingFace directory.

Unlike lint this imports and runs the code that it is given: the module is the user's own.
"""
