"""What auto-complete may still add: nothing that it could fill in is missing."""

from __future__ import annotations

from pytest_triton.repository.lint import backends
from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel

#: Bytes of a model.py that are looked at.
_MAX_SOURCE = 1 << 20


def completes(model: LintedModel) -> bool:
    """Could the backend still add tensors, or set max_batch_size? Yes, unless it is known.

    A Python model whose code is not there to be read is taken for one that does not.
    """
    if backend(model) == "python" and model.directory is None:
        return False
    return backends.completes(model) is not False


def turns_batching_on(model: LintedModel) -> bool:
    """Does the backend add ``dynamic_batching`` where nothing schedules?

    True also where it is not known: backends of other makers can do what they like.
    """
    name = backend(model)
    if name == "python":
        return completes(model) and _may_set_batching(model)
    return name != "pytorch"


def _may_set_batching(model: LintedModel) -> bool:
    """Does the code of a Python model ask for it, or hide what it does?"""
    versions = model.directory.versions if model.directory is not None else ()
    name = str(model.config.default_model_filename) or "model.py"
    for version in versions:
        path = model.path / str(version) / name
        try:
            if not path.is_file():  # a fifo would wait for its writer for ever
                continue
            with path.open("rb") as file:
                source = file.read(_MAX_SOURCE)
        except OSError:
            continue
        # A class that comes from elsewhere can have every method.
        if b"set_dynamic_batching" in source or b"class TritonPythonModel:" not in source:
            return True
    return False
