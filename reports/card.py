"""The score card as lines of text: a pure function of report.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from pytest_triton.options import TIERS

from . import text

SYMBOLS = {"pass": "✓", "waived": "~", "fail": "✗", "error": "!", "inconclusive": "?"}
COLOURS = {"pass": "green", "waived": "yellow", "fail": "red", "error": "red"}
#: Clauses that fail and are told in full; the others by name.
DETAILED = 10
#: Lines of a reason that are shown.
REASON_LINES = 6
#: Columns of a terminal below which the evidence goes on a line of its own.
NARROW = 100

#: Pieces of one line, each with its colour ("" for none).
Line = list[tuple[str, str]]


def title(report: Mapping[str, Any]) -> str:
    """What the score card is of."""
    kind = report["subject"]["kind"]
    return f"lab score card ─ {text.SUBJECTS.get(kind, kind)}"


def card(report: Mapping[str, Any], width: int) -> Iterator[Line]:
    """The score card, line by line, for a terminal of so many columns."""
    yield from _criteria(report, width)
    yield from _trouble(report)
    yield []
    yield [(" time      ", ""), (" · ".join(_times(report)), "")]
    told = ", ".join(
        f"{count} {text.words(status)}" for status, count in text.counts(report).items()
    )
    yield [(f" clauses   {told}", "")]
    if report["verdict"]["waivers"]:
        yield [(f" waivers   {report['verdict']['waivers']}", "yellow")]
    yield from _baseline(report)
    for note in report["notes"][:5]:
        yield [(f" note      {text.first_line(note, max(40, width - 12))}", "")]
    yield from _verdict(report)


def _criteria(report: Mapping[str, Any], width: int) -> Iterator[Line]:
    rows = report["criteria"]
    titles = min(36, max(len(text.clean(item["title"], 60)) for item in rows))
    identity = max(len(item["id"]) for item in rows)
    tier = None
    for item in rows:
        shown, tier = (item["tier"] if item["tier"] != tier else ""), item["tier"]
        status = item["status"]
        state = f"{SYMBOLS.get(status, '–')} {text.words(status)}"
        points = f"{item['points']:g}/{item['max_points']:g}"
        name = text.first_line(item["title"], titles)
        start = f" {shown:<9} {item['id']:<{identity}}  {name:<{titles}}  "
        rest = f"{points:>8}"
        line: Line = [(start, ""), (f"{state:<15}", COLOURS.get(status, "yellow")), (rest, "")]
        used = len(start) + 15 + len(rest)
        passed = status in ("pass", "waived")
        evidence = (item.get("summary") if passed else "") or item["reason"]
        if width >= NARROW:
            yield [*line, ("   " + text.first_line(evidence, max(40, width - used - 4)), "")]
        else:
            yield line
            yield [(f"            {text.first_line(evidence, max(40, width - 13))}", "")]


def _trouble(report: Mapping[str, Any]) -> Iterator[Line]:
    for name, why in (report["subject"].get("failed") or {}).items():
        yield []
        yield [(f" ✗ model {text.first_line(name, 80)} did not load", "red")]
        yield [(f"     {text.first_line(why, 300)}", "")]
    bad = [clause for clause in report["clauses"] if clause["status"] in ("fail", "error")]
    for clause in bad[:DETAILED]:
        yield []
        symbol = SYMBOLS[clause["status"]]
        of = f" ({', '.join(clause['criteria'])})" if clause["criteria"] else ""
        name = text.first_line(clause["title"], 100)
        yield [(f" {symbol} {clause['id']} {name}{of}", "red")]
        lines = text.clean(clause["reason"]).splitlines()
        for line in lines[:REASON_LINES]:
            yield [(f"     {line[:400]}", "")]
        if len(lines) > REASON_LINES:
            yield [(f"     … {len(lines) - REASON_LINES} more lines in the report", "")]
        for location in clause["locations"][:3]:
            yield [(f"     look at    {text.place(location)}", "")]
        files = [str(entry["path"]) for entry in clause["evidence"]]
        told = [path for path in files if PurePosixPath(path).name.startswith("transcript")]
        for path in [path for path in files if path not in told][:3]:
            yield [(f"     evidence   {text.first_line(path, 200)}", "")]
        for path in [path for path in told if path.endswith(".txt")][:1]:
            yield [(f"     repeat     {text.first_line(path, 200)}", "")]
        yield [(f"     try        {text.first_line(clause['hint'], 400)}", "")]
        if alone := text.alone(report, clause):
            yield [(f"     run alone  {alone}", "")]
    if more := [clause["id"] for clause in bad[DETAILED:]]:
        yield []
        yield [(f" and {', '.join(more)}", "red")]
    yield from _holes(report)


def _holes(report: Mapping[str, Any]) -> Iterator[Line]:
    """What could not be told and keeps a criterion that was asked for from passing."""
    if not report["verdict"]["exit_status"]:
        return
    asked = TIERS[: TIERS.index(report["run"]["tier"]) + 1]
    wanting = {
        item["id"]
        for item in report["criteria"]
        if item["tier"] in asked and item["status"] not in ("pass", "waived")
    }
    reasons: dict[str, list[str]] = {}
    for clause in report["clauses"]:
        open_ones = clause["status"] in ("not_assessed", "inconclusive")
        known = clause["reason_code"] in ("not_applicable", "deselected", "not_built", "blocked")
        if open_ones and not known and wanting & set(clause["criteria"]):
            reasons.setdefault(clause["reason"], []).append(clause["id"])
    for reason, clauses in list(reasons.items())[:DETAILED]:
        yield []
        yield [(f" – {', '.join(clauses)} could not be told", "yellow")]
        for line in text.clean(reason).splitlines()[:REASON_LINES]:
            yield [(f"     {line[:400]}", "")]


def _baseline(report: Mapping[str, Any]) -> Iterator[Line]:
    """What became worse since the baseline, else in a few words that nothing did."""
    found = report.get("baseline")
    if found is None:
        return
    since = text.clean(found["baseline"]["finished"])[:10]
    if found["worse"]:
        yield [(f" baseline  worse than the run of {since}", "red")]
        for line in found["worse"][:DETAILED]:
            yield [(f"     {text.first_line(line, 300)}", "")]
        return
    numbers = found["numbers"]
    said = [f"nothing is worse than in the run of {since}"]
    for word in ("better", "no difference shown", "cannot tell", "not comparable"):
        if count := sum(number["word"] == word for number in numbers):
            said.append(f"{count} {'numbers' if count > 1 else 'number'} {word}")
    yield [(f" baseline  {', '.join(said)}", "")]


def _times(report: Mapping[str, Any]) -> list[str]:
    """The parts of the run that are worth a word."""
    total = float(report["run"]["timings"]["total_s"])
    parts = text.where_time_went(report)
    told = [
        f"{label} {text.seconds(spent)}"
        for label, spent in parts
        if label != "the rest" and spent >= 0.01 * total
    ]
    rest = total - sum(
        spent for label, spent in parts if label != "the rest" and spent >= 0.01 * total
    )
    return [*told, f"the rest {text.seconds(rest)}"] if rest >= 0.05 else told


def _verdict(report: Mapping[str, Any]) -> Iterator[Line]:
    verdict = report["verdict"]
    good = verdict["exit_status"] == 0
    colour = "green" if good else "red"
    if not report["complete"]:
        yield [(" the run is incomplete: no verdict", "red")]
    elif report["run"]["scope"]:
        scope = ", ".join(report["run"]["scope"])
        yield [(f" scope {scope} {'passes' if good else 'does not pass'}; no level", colour)]
    yield [
        (f" level {verdict['level']}", colour),
        (
            f" · {verdict['points']:g} of {verdict['max_points']:g} points · "
            f"{text.seconds(float(report['run']['timings']['total_s']))} · "
            f"{text.server(report)} · seed {report['run']['seed']}",
            "",
        ),
    ]
    if not good:
        why = "; ".join(text.because(verdict["reasons"]))
        yield [(f" exit status {verdict['exit_status']}: {why}", "red")]
