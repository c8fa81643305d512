"""Comments that switch rules off: SUP001, SUP002."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.repository.lint import LintOptions, lint

#: One unknown field on line 2 (CFG003), one unknown value on line 3 (CFG004).
TEXT = """\
backend: "python"
max_batchsize: 8{0}
input [ {{ name: "a # b" data_type: TYPE_FLOAT dims: [ 4 ] }} ]{1}
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] }} ]
{2}
"""

RULES = ("CFG003", "CFG004", "SUP001", "SUP002")


def rules(directory: Path, *parts: str, suppressions: bool = True) -> list[str]:
    model = directory / "repository" / "m"
    model.mkdir(parents=True)
    (model / "config.pbtxt").write_text(TEXT.format(*parts, *[""] * (3 - len(parts))))
    found = lint(model.parent, LintOptions(suppressions=suppressions)).findings
    return [f"{one.rule}@{one.line}" for one in found if one.rule in RULES]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), ["CFG003@2", "CFG004@3"]),
        (("  # triton-lint: disable=CFG003",), ["CFG004@3"]),
        (("  # triton-lint: disable=CFG",), ["CFG004@3"]),
        (("", "# triton-lint: disable=CFG004, SUP it is a test"), ["CFG003@2", "SUP001@3"]),
        (("", "", "# triton-lint: disable=CFG003,CFG004 both"), []),
        (("", "", "  # triton-lint:disable = CFG"), []),
        (("# triton-lint: disable=CFG004",), ["CFG003@2", "SUP001@2", "CFG004@3"]),
        (("", "", "# triton-lint: disable=CFG001"), ["CFG003@2", "CFG004@3", "SUP001@5"]),
        (("", "", "# triton-lint: disable=CFG099"), ["CFG003@2", "CFG004@3", "SUP002@5"]),
        (("", "", "# triton-lint: off"), ["CFG003@2", "CFG004@3", "SUP002@5"]),
        (("", "", "# triton-linted"), ["CFG003@2", "CFG004@3"]),
        (
            ("", "", 'default_model_filename: "# triton-lint: disable=CFG"'),
            ["CFG003@2", "CFG004@3"],
        ),
    ],
)
def test_comments(tmp_path: Path, parts: tuple[str, ...], expected: list[str]) -> None:
    assert rules(tmp_path, *parts) == expected


def test_they_can_be_ignored(tmp_path: Path) -> None:
    found = rules(tmp_path, "", "", "# triton-lint: disable=CFG, NONE", suppressions=False)
    assert found == ["CFG003@2", "CFG004@3"]


def test_a_column_points_at_the_name(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('backend: "python" # triton-lint: disable=CFG, NONE001\n')
    found = next(one for one in lint(path).findings if one.rule == "SUP002")
    line = path.read_text().splitlines()[0]
    assert line[found.column - 1 :] == "NONE001"
