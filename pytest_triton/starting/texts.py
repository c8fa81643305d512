"""The texts of a starting project: a first test, what pytest has to know, the next steps."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_triton.repository.sidecar import ExportRecord
from pytest_triton.repository.tensors import NUMPY_OF, TensorSpec

PYPROJECT = """\
[tool.pytest]
triton_repository = "model_repository"
"""
_ROWS, _SIZE = 2, 8


def test_name(name: str) -> str:
    """The file of the first test."""
    return f"test_{re.sub(r'[^A-Za-z0-9_]', '_', name)}.py"


def test(name: str, record: ExportRecord) -> str:
    """A test that sends one request and looks at the shape of the answer."""
    sizes = {axis: max(low, min(high, _SIZE)) for axis, (low, high) in record.axes.items()}
    rows = (min(_ROWS, record.max_batch_size),) if record.batches else ()
    tensors = {one.name: _array(one, record, rows, sizes) for one in record.inputs}
    output = record.outputs[0]
    shape = rows + tuple(_size(size, sizes) for size in output.shape)
    key = json.dumps(output.name)
    check = f"shape == {shape!r}"
    if any(size is None for size in shape):
        check = f"shape[0] == {shape[0]}" if rows else "size > 0"
    title = test_name(name).removesuffix(".py")
    return (
        f'"""{name}: pytest boots a Triton for this test, and ends it again."""\n\n'
        "import numpy as np\n\n\n"
        f"def {title}(triton_client):\n"
        f"{_call(name, tensors)}"
        f"    assert answer[{key}].{check}\n"
    )


def _call(name: str, tensors: Mapping[str, str]) -> str:
    plain = all(
        one.isidentifier() and not keyword.iskeyword(one) and one not in _TAKEN for one in tensors
    )
    if plain:
        sent = [f"{one}={value}" for one, value in tensors.items()]
    else:
        sent = ["{" + ", ".join(f"{json.dumps(n)}: {v}" for n, v in tensors.items()) + "}"]
    line = f"    answer = triton_client.infer({json.dumps(name)}, {', '.join(sent)})\n"
    if len(line) <= 100:
        return line
    inside = "".join(f"        {one},\n" for one in [json.dumps(name), *sent])
    return f"    answer = triton_client.infer(\n{inside}    )\n"


#: Arguments of infer() itself.
_TAKEN = frozenset({"version", "outputs", "parameters", "timeout", "request_id", "headers"})


def _array(
    tensor: TensorSpec, record: ExportRecord, rows: tuple[int, ...], sizes: Mapping[str, int]
) -> str:
    shape = rows + tuple(_size(size, sizes) or 3 for size in tensor.shape)
    kind = "bool_" if tensor.datatype == "BOOL" else NUMPY_OF[tensor.datatype]
    low = record.ranges.get(tensor.name, (0, 1))[0]
    if low in (0, 1):
        return f"np.{'ones' if low else 'zeros'}({shape!r}, np.{kind})"
    return f"np.full({shape!r}, {low!r}, np.{kind})"


def _size(size: int | str, sizes: Mapping[str, int]) -> int | None:
    if isinstance(size, str):
        return sizes.get(size)
    return size if size > 0 else None


def next_steps(repository: Path, name: str, test_file: Path, *, snippet: bool) -> Iterator[str]:
    """What to type now."""
    if snippet:
        yield "tell pytest where the models are, where this project configures it:"
        yield from (f"  {line}" for line in PYPROJECT.splitlines())
    steps = [
        (f"pytest-triton lint {repository}", "is the configuration right?"),
        (f"pytest-triton serve {repository}", "a real Triton, until Ctrl-C"),
        (f"pytest {test_file}", "your first test, on a Triton of its own"),
        (f"pytest --pyargs pytest_triton.suites --triton-repository {repository}", "the verdict"),
    ]
    width = max(len(step) for step, _ in steps[:3])
    for step, meaning in steps:
        yield f"  {step:<{width}}  # {meaning}"
