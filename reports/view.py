"""report.json as its page wants it: words, groups, links and charts. Pure, and trusting nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from pytest_triton.criteria.shows import measured, quantity

from . import against, charts, repeating, text

#: Charts on one page; more would make it too heavy to open.
MAX_CHARTS = 200
SYMBOLS = {
    "pass": "✓", "waived": "~", "partial": "◐", "manual": "✎", "not_assessed": "–",
    "inconclusive": "?", "missing": "∅", "fail": "✗", "error": "!",
}  # fmt: skip
#: A status' colour: good, warn, bad or dim.
TONES = {
    "pass": "good", "waived": "warn", "partial": "warn", "manual": "warn",
    "not_assessed": "dim", "inconclusive": "warn", "missing": "warn", "fail": "bad",
    "error": "bad",
}  # fmt: skip
TIERS = ("basic", "advanced", "expert")


@dataclass(frozen=True, slots=True)
class Status:
    """A status with its words, symbol and colour."""

    value: str
    words: str
    symbol: str
    tone: str


def status(value: str) -> Status:
    """How a status looks."""
    return Status(value, text.words(value), SYMBOLS.get(value, "?"), TONES.get(value, "dim"))


def link(base: str, path: str) -> str | None:
    """A relative URL of a file of the report; None if the path leads anywhere else."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or ":" in path or "\\" in path or "\0" in path:
        return None
    # A lone surrogate is no URL either.
    return quote(f"{base}/{pure}", safe="/", errors="replace")


def build(report: Mapping[str, Any], directory: Path, *, base: str = ".") -> dict[str, Any]:
    """What the templates get. ``base`` leads from the page to the report's directory."""
    verdict, run = report["verdict"], report["run"]
    rows = [_clause(report, clause, base) for clause in report["clauses"]]
    most = MAX_CHARTS
    for row, clause in zip(rows, report["clauses"], strict=True):
        most = _draw(row, clause, directory, most)
        row["repeat"] = repeating.line(clause, directory) if row["status"].tone == "bad" else ""
    total = float(run["timings"]["total_s"])
    return {
        "title": f"pytest-triton: {_headline(report)}",
        "headline": _headline(report),
        "tone": "good" if verdict["exit_status"] == 0 else "bad",
        "complete": report["complete"],
        "level": verdict["level"],
        "points": f"{verdict['points']:g}",
        "max_points": f"{verdict['max_points']:g}",
        "share": round(100 * verdict["points"] / verdict["max_points"], 2)
        if verdict["max_points"]
        else 0,
        "exit_status": verdict["exit_status"],
        "because": text.because(verdict["reasons"]),
        "scope": ", ".join(run["scope"]),
        "tier": run["tier"],
        "waivers": verdict["waivers"],
        "facts": _facts(report),
        "failed_models": [
            (text.clean(name, 200), text.clean(why))
            for name, why in (report["subject"].get("failed") or {}).items()
        ],
        "times": [
            (label, text.seconds(spent), round(100 * min(spent / total, 1), 2) if total else 0)
            for label, spent in text.where_time_went(report)
        ],
        "total": text.seconds(total),
        "tiers": _tiers(report),
        "clauses": rows,
        "against": against.view(report),
        "trouble": [row for row in rows if row["status"].tone == "bad"],
        "measured": [row for row in rows if row["charts"]],
        "counts": [(status(name), count) for name, count in text.counts(report).items()],
        "areas": list(dict.fromkeys(row["area"] for row in rows)),
        "notes": [text.clean(note) for note in report["notes"]],
        "environment": _environment(report),
        "json": link(base, "report.json"),
        "log": link(base, "server.log") if (directory / "server.log").is_file() else None,
        "suite": text.clean(report["suite"]["version"], 40),
        "schema_version": report["schema_version"],
        "finished": _time(report["finished"]),
    }


def _headline(report: Mapping[str, Any]) -> str:
    if not report["complete"]:
        return "incomplete, no verdict"
    if report["run"]["scope"]:
        passed = "passes" if report["verdict"]["exit_status"] == 0 else "does not pass"
        return f"{', '.join(report['run']['scope'])} {passed}"
    level = report["verdict"]["level"]
    return "no level reached" if level == "none" else f"level {level}"


def _time(stamp: str) -> str:
    try:
        return dt.datetime.fromisoformat(stamp.replace("Z", "+00:00")).strftime(
            "%Y-%m-%d %H:%M:%S UTC"
        )
    except ValueError:
        return text.clean(stamp, 40)


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    subject, run = report["subject"], report["run"]
    where = subject.get("repository") if subject["kind"] == "repository" else None
    if subject["kind"] == "endpoint":
        where = subject["urls"].get("http") or run["settings"].get("url")
    facts = [
        ("subject", text.SUBJECTS.get(subject["kind"], subject["kind"])),
        ("at", where),
        ("models", _models(subject)),
        ("server", text.server(report)),
        ("asked tier", run["tier"]),
        ("duration", text.seconds(float(run["timings"]["total_s"]))),
        ("seed", str(run["seed"])),
        ("finished", _time(report["finished"])),
    ]
    return [(label, text.clean(value, 600)) for label, value in facts if value]


def _models(subject: Mapping[str, Any]) -> str:
    ready, expected = subject.get("ready"), subject.get("models")
    if ready is None or expected is None:
        return ""
    return f"{len(ready)} of {len(expected)} ready: {', '.join(ready)}"


def _tiers(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    tiers = []
    for tier in TIERS:
        items = [item for item in report["criteria"] if item["tier"] == tier]
        if items:
            tiers.append(
                {
                    "name": tier,
                    "asked": TIERS.index(tier) <= TIERS.index(report["run"]["tier"]),
                    "points": f"{sum(item['points'] for item in items):g}",
                    "max_points": f"{sum(item['max_points'] for item in items):g}",
                    "criteria": [_criterion(item) for item in items],
                }
            )
    return tiers


def _criterion(item: Mapping[str, Any]) -> dict[str, Any]:
    shown = item.get("summary") if item["status"] in ("pass", "waived") else ""
    return {
        "id": item["id"],
        "title": text.clean(item["title"], 200),
        "status": status(item["status"]),
        "points": f"{item['points']:g}",
        "max_points": f"{item['max_points']:g}",
        "told": text.clean(shown or item["reason"], 600),
        "clauses": item["clauses"],
    }


def _clause(report: Mapping[str, Any], clause: Mapping[str, Any], base: str) -> dict[str, Any]:
    return {
        "id": clause["id"],
        "area": clause["area"],
        "title": text.clean(clause["title"], 300),
        "must": text.clean(clause["must"]),
        "source": text.clean(clause["source"], 1000),
        "hint": text.clean(clause["hint"]),
        "criteria": clause["criteria"],
        "status": status(clause["status"]),
        "code": _code(clause),
        "reason": text.clean(clause["reason"]),
        "duration": text.seconds(clause["duration_s"]) if clause["nodeids"] else "",
        "model": text.clean(clause["model"], 200) if clause["model"] else "",
        "nodeids": [text.clean(nodeid, 400) for nodeid in clause["nodeids"]],
        "alone": text.alone(report, clause),
        "measurements": [_measurement(entry) for entry in clause["measurements"]],
        "charts": [],
        "evidence": [
            (text.clean(entry["path"], 400), link(base, entry["path"]), entry["sha256"])
            for entry in clause["evidence"]
        ],
        "locations": [text.place(location) for location in clause["locations"]],
    }


def _code(clause: Mapping[str, Any]) -> str:
    """The reason code as words, unless the reason says them itself."""
    code = text.words(clause["reason_code"] or "")
    return "" if code in clause["reason"] else code


def _measurement(entry: Mapping[str, Any]) -> dict[str, str]:
    unit = text.clean(entry["unit"], 40)

    def shown(key: str) -> str:
        value = entry.get(key)
        return quantity(float(value), unit) if value is not None else ""

    return {
        "name": text.clean(entry["name"], 200),
        "value": measured({**entry, "unit": unit}),
        "budget": shown("budget"),
        "margin": shown("margin"),
    }


def _draw(row: dict[str, Any], clause: Mapping[str, Any], directory: Path, most: int) -> int:
    """Draw at most so many charts of a clause; returns how many more may be drawn."""
    entries = [entry for entry in clause["measurements"] if entry.get("samples") is not None]
    drawn: set[str] = set()
    for entry in entries:
        samples = entry["samples"]
        if not most or (isinstance(samples, str) and samples in drawn):
            continue
        others = []
        if isinstance(samples, str):  # several numbers of the same samples: one picture
            drawn.add(samples)
            others = [one for one in entries if one["samples"] == samples and one is not entry]
        row["charts"].append(charts.draw(entry, directory, clause["evidence"], others))
        most -= 1
    return most


def _environment(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    found, subject = report["environment"], report["subject"]
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    gpus = ", ".join(str(gpu.get("name") or gpu.get("uuid")) for gpu in found["gpus"])
    rows = [
        ("command", " ".join(map(str, report["run"]["command"]))),
        ("processor", f"{found['cpu']['model']}, {found['cpu']['count']} usable"),
        ("GPUs", gpus or "none seen by the server"),
        ("system", f"{found['os']}, Python {found['python']}"),
        ("packages", packages),
        ("server extensions", ", ".join(map(str, found["server"]["extensions"]))),
        ("repository", subject.get("repository") or ""),
        ("repository SHA-256", subject["repository_sha256"] or ""),
        ("endpoints", ", ".join(str(url) for url in subject["urls"].values() if url)),
        ("assurance", text.words(report["run"]["assurance"])),
        ("sandbox", report["run"]["sandbox"]),
    ]
    return [(label, text.clean(value, 2000)) for label, value in rows if value]
