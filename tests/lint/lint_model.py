"""One model, written and linted: what the tests of single rules share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_triton.repository.lint import LintOptions, lint

X = 'input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
Y = 'output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
PYTHON = 'backend: "python"\n' + X + Y
CODE = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
MODEL = {"1/model.py": CODE}
#: Families that have tests of their own.
OTHERS = ("BAT", "SEQ", "WRM", "ENS", "PT", "LAY", "SEC")


def write(tmp_path: Path, config: str | bytes | None, files: Mapping[str, str | bytes]) -> Path:
    model = tmp_path / "m"
    model.mkdir()
    if config is not None:
        data = config if isinstance(config, bytes) else config.encode("utf-8")
        (model / "config.pbtxt").write_bytes(data)
    for name, content in files.items():
        path = model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path


def found(
    tmp_path: Path,
    config: str | bytes | None,
    files: Mapping[str, str | bytes] | None = None,
    **options: object,
) -> list[str]:
    """``error CFG009 1:7`` for every finding of these families, in a repository of one model."""
    path = write(tmp_path, config, MODEL if files is None else files)
    result = lint(path, LintOptions(**options))  # type: ignore[arg-type]
    return [
        f"{one.severity} {one.rule} {one.line}:{one.column}"
        for one in result.findings
        if not one.rule.startswith(OTHERS)
    ]


def alone(tmp_path: Path, config: str) -> list[str]:
    """The same for a configuration without its model."""
    path = write(tmp_path, config, {}) / "m" / "config.pbtxt"
    return [
        f"{one.severity} {one.rule}" for one in lint(path).findings if one.rule[:3] not in OTHERS
    ]
