"""What a run with -q shows while it judges."""

from __future__ import annotations

import io

import pytest
from _pytest._io import TerminalWriter

from pytest_triton.reports.judging import Judging


class Reporter:
    """As much of pytest's terminal reporter as is written to."""

    def __init__(self, isatty: bool) -> None:
        self.file = io.StringIO()
        self._tw = TerminalWriter(self.file)
        self.isatty = isatty
        self._screen_width = 80

    def write(self, text: str) -> None:
        self.file.write(text)

    def write_line(self, text: str, **markup: bool) -> None:
        self.file.write(text + "\n")

    def rewrite(self, text: str, erase: bool = False) -> None:
        self.file.write("\r" + text)


def report(clause: str, status: str) -> pytest.TestReport:
    made = pytest.TestReport(clause, ("f", 1, clause), {}, "passed", None, "call", duration=0.5)
    made.__dict__["triton_outcome"] = {"clause": clause, "status": status}
    return made


def shown(isatty: bool) -> str:
    reporter = Reporter(isatty)
    areas = {"HLT-01": "setup", "INF-01": "protocol"}
    judging = Judging(reporter, areas, {"setup": 3, "protocol": 1})
    for clause, status in (
        ("HLT-01", "pass"), ("HLT-01", "fail"), ("INF-01", "not_assessed"), ("HLT-01", "pass"),
    ):  # fmt: skip
        judging.pytest_runtest_logreport(report(clause, status))
    judging.pytest_sessionfinish()
    return reporter.file.getvalue()


def test_one_line_for_each_area() -> None:
    lines = [" ".join(line.split()) for line in shown(False).splitlines()]
    assert lines == [
        "judging setup 2/3 1 pass, 1 fail 1.0 s",
        "judging protocol 1/1 1 not assessed 0.5 s",
        "judging setup 3/3 1 pass 0.5 s",
    ]


def test_on_a_terminal_the_line_is_rewritten() -> None:
    lines = shown(True).split("\r")
    assert any("1/3" in line and "\n" not in line for line in lines)
    assert sum("\n" in line for line in lines) == 3
