"""The score card at the end of an armed run, drawn from report.json alone."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton import keys

COLOURS = {"pass": "green", "waived": "yellow", "fail": "red", "error": "red"}
#: Characters of a criterion's reason on one line.
REASON = 96


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash.get(keys.REPORT, None)
    if report is None:
        return
    subject = report["subject"]["kind"]
    terminalreporter.section(f"lab score card: {subject}", sep="─")
    tier = None
    for item in report["criteria"]:
        shown = item["tier"] if item["tier"] != tier else ""
        tier = item["tier"]
        points = f"{item['points']:g}/{item['max_points']:g}"
        colour = COLOURS.get(item["status"], "yellow")
        terminalreporter.write(f" {shown:<9} {item['id']:<4}{item['title']:<31}")
        terminalreporter.write(f"{item['status']:<13}", **{colour: True})
        terminalreporter.write_line(f"{points:>8}   {_short(item['reason'])}")
    _failures(terminalreporter, report)
    verdict = report["verdict"]
    counts: dict[str, int] = {}
    for clause in report["clauses"]:
        counts[clause["status"]] = counts.get(clause["status"], 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    terminalreporter.write_line("")
    terminalreporter.write_line(
        f" level {verdict['level']} · {verdict['points']:g} of {verdict['max_points']:g} points · "
        f"{report['run']['timings']['total_s']:.0f} s · {len(report['clauses'])} clauses: {told}"
    )
    if not report["complete"]:
        terminalreporter.write_line(" the run is incomplete: no verdict", red=True)
    elif verdict["exit_status"]:
        terminalreporter.write_line(f" because of: {', '.join(verdict['reasons'])}", red=True)
    terminalreporter.write_line(f" {config.stash[keys.SETTINGS].report}/report.json")


def _failures(terminalreporter: Any, report: dict[str, Any]) -> None:
    bad = [clause for clause in report["clauses"] if clause["status"] in ("fail", "error")]
    for clause in bad:
        terminalreporter.write_line("")
        terminalreporter.write_line(f" {clause['id']} {clause['title']}", red=True)
        for line in clause["reason"].splitlines()[:6]:
            terminalreporter.write_line(f"   {line}")
        for place in clause["locations"]:
            where = f"{place['file']}:{place['line']}" if place["line"] else place["file"]
            terminalreporter.write_line(f"   look at {where}")
        terminalreporter.write_line(f"   try: {clause['hint']}")


def _short(text: str) -> str:
    first = text.splitlines()[0] if text else ""
    return first if len(first) <= REASON else first[: REASON - 1] + "…"
