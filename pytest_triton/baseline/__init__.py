"""Two reports side by side: what got worse, and what only noise tells apart.

:func:`~pytest_triton.baseline.compare.compare` takes two :class:`~pytest_triton.baseline.loaded.Loaded`
reports; ``pytest-triton diff`` and ``--triton-baseline`` are the same comparison.
"""
