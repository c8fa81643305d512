"""The line that repeats what failed: out of the file that the report was made of, or none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.reports.repeating import MAX_LINE, line


def clause(directory: Path, content: Any, path: str = "evidence/X-01/transcript.json") -> Any:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    target = directory / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return {"evidence": [{"path": path, "sha256": hashlib.sha256(data).hexdigest()}]}


def call(curl: Any, *, marked: Any = False, earlier: Any = False) -> dict[str, Any]:
    return {"curl": curl, "marked": marked, "earlier": earlier}


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([call("a"), call("b", marked=True), call("c", marked=True)], "b"),
        ([call("a"), call("b"), call("c", earlier=True)], "b"),
        ([call("a", earlier=True)], "a"),
        ([call("\x1b[1mred\x07 <b>")], "red␇ <b>"),
        ([call("x" * (MAX_LINE + 1))], f"# {MAX_LINE + 1} characters: see transcript.txt"),
        ([], ""),
        ([None, 5, "x", {}], ""),
        ([call(["curl"], marked=True)], ""),
        ({"calls": []}, ""),
        (b"\xff{", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_the_first_marked_call(tmp_path: Path, content: Any, shown: str) -> None:
    assert line(clause(tmp_path, content), tmp_path) == shown


def test_only_the_file_of_the_report(tmp_path: Path) -> None:
    made = clause(tmp_path / "out", [call("a")])
    assert line(made, tmp_path / "out") == "a"
    (tmp_path / "out" / made["evidence"][0]["path"]).write_text("[]")
    assert line(made, tmp_path / "out") == ""
    outside = clause(tmp_path, [call("a")], "transcript.json")
    outside["evidence"][0]["path"] = "../transcript.json"
    assert line(outside, tmp_path / "out") == ""
    assert line({"evidence": []}, tmp_path) == ""
