"""Rule LAY017: a model.py that the Python backend cannot begin with. Read, never executed."""

from __future__ import annotations

import ast
import re
import stat
import sys
import warnings
from pathlib import Path

from pytest_triton.repository.config import selected_versions
from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check

#: Bytes of a file that are read; in what is larger, nothing is looked for.
_MAX_BYTES = 256 * 1024
#: How a name can come about that is not written.
_HIDDEN = re.compile(rb"import\s*\*|exec\s*\(|globals\s*\(|setattr\s*\(|__getattr__|vars\s*\(")
#: What a later Python than 3.11 may well understand.
_LATER = re.compile(r"^\s*(?:type\s+\w|(?:async\s+)?def\s+\w+\[|class\s+\w+\[)|[fF][rR]?[\"']")


@check("LAY017")
def python_code(model: LintedModel) -> None:
    """Text that is no Python, or a module without the class that the backend asks for."""
    if backend(model) != "python" or model.directory is None:
        return
    if model.config.platform == "ensemble":
        return
    name = str(model.config.default_model_filename) or "model.py"
    for version in selected_versions(model.config, model.directory.versions):
        path = model.directory.version_path(version) / name
        source = _read(path) if path.suffix == ".py" else None
        if source is not None:
            _judge(model, f"{path.parent.name}/{name}", source)


def _read(path: Path) -> bytes | None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None  # LAY002, LAY006 and LAY007


def _judge(model: LintedModel, file: str, source: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError as error:
        written = error.text or ""
        doubtful = (
            "EXECUTION_ENV_PATH" in model.config.parameters
            or (sys.version_info < (3, 12) and _LATER.search(written))
        )  # fmt: skip
        where = f", line {error.lineno}" if error.lineno else ""
        model.report(
            "LAY017",
            f"no Python ({error.msg}{where}): Triton refuses the model",
            file=file,
            fix="correct the code",
            severity="warning" if doubtful else None,
        )
        return
    except ValueError:  # NUL bytes, before Python 3.12
        model.report(
            "LAY017",
            "no Python (it holds NUL bytes): Triton refuses the model",
            file=file,
            fix="save it as UTF-8 text",
        )
        return
    except (RecursionError, MemoryError):
        return  # too deep for this Python, and maybe not for the server's
    if b"TritonPythonModel" not in source and not _HIDDEN.search(source):
        model.report(
            "LAY017",
            "no class TritonPythonModel: Triton refuses the model",
            file=file,
            fix="write  class TritonPythonModel:  with a method execute",
        )
