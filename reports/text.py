"""Words for people out of report.json. Everything in a report may be hostile text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pytest_triton.options import BY_FIELD

#: Characters of one text that are shown; report.json keeps it all.
LIMIT = 4000
#: What a subject is called.
SUBJECTS = {
    "reference": "reference repository",
    "repository": "model repository",
    "endpoint": "attached endpoint",
    "submission": "submission",
}
#: Settings that say what is judged, in the order of a command line.
_SUBJECT = (
    "url", "grpc_url", "metrics_url", "repository", "models", "inputs", "launcher",
    "server_release", "device", "image", "compose_file", "compose_service", "server_python",
)  # fmt: skip
_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)"
    r"|\x1b[@-Z\\-_]|\x9b[0-?]*[ -/]*[@-~]"
)
#: Control characters, and those that turn the direction of a line around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REASON = re.compile(r"([A-Z][A-Za-z0-9_-]*) ([a-z_]+)\Z")


def clean(text: object, limit: int = LIMIT) -> str:
    """Text that changes neither terminal nor page: no escapes, no control characters.

    Longer than ``limit`` characters it is cut, and says so.
    """
    raw = str(text)
    # Twice the limit is enough of the raw text: escapes only make it shorter.
    kept = _ANSI.sub("", raw[: limit * 2].replace("\r\n", "\n"))
    kept = _CONTROL.sub(_picture, kept)
    kept = plain(kept)
    if len(kept) > limit or len(raw) > limit * 2:
        return f"{kept[:limit]}… ({len(raw)} characters in all)"
    return kept


def plain(text: str) -> str:
    """Text that UTF-8 can hold."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"


def first_line(text: object, limit: int) -> str:
    """The first line that says something, cut to ``limit`` characters."""
    line = next((line for line in clean(text).splitlines() if line.strip()), "").strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def words(status: str) -> str:
    """A status or a reason code as words."""
    return status.replace("_", " ")


def seconds(value: float) -> str:
    """A duration: ``83 ms``, ``3.6 s``, ``1 min 22 s``, ``2 h 5 min``."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms" if value >= 0.001 or value <= 0 else "< 1 ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def server(report: Mapping[str, Any]) -> str:
    """The server in a few words: ``Triton 2.51.0 (24.10), embedded, CPU``."""
    subject, settings = report["subject"], report["run"]["settings"]
    version = report["environment"]["server"]["version"]
    release = subject.get("release") or subject.get("release_expected")
    said = [f"Triton {version}" if version else "no server answered"]
    if version and release:
        said[0] += f" ({release})"
    if subject["kind"] != "endpoint" and settings.get("launcher"):
        said.append(str(settings["launcher"]))
    if (device := subject.get("device")) and device != "unknown":
        said.append(str(device).upper())
    return clean(", ".join(said), 200)


def where_time_went(report: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Parts of the run with their seconds, which add up to the whole."""
    timings = report["run"]["timings"]
    parts = [
        (label, float(timings[key]))
        for key, label in (("boot_prepare_s", "preparing"), ("boot_start_s", "booting"))
        if timings.get(key)
    ]
    areas: dict[str, float] = {}
    for clause in report["clauses"]:
        areas[clause["area"]] = areas.get(clause["area"], 0.0) + clause["duration_s"]
    parts += [(clean(area, 40), spent) for area, spent in areas.items() if spent >= 0.0005]
    rest = float(timings["total_s"]) - sum(spent for _, spent in parts)
    if rest >= 0.05:
        parts.append(("the rest", rest))
    return parts


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    """Clauses by status, in the order of the lattice (best first)."""
    from pytest_triton.criteria import Status

    found: dict[str, int] = {}
    for clause in report["clauses"]:
        found[clause["status"]] = found.get(clause["status"], 0) + 1
    return {status.value: found[status.value] for status in Status if status.value in found}


def because(reasons: Sequence[str]) -> list[str]:
    """Why the exit status is not 0: names of one status together, many of them as a number."""
    grouped: dict[tuple[str, bool], list[str]] = {}
    said: list[str] = []
    for reason in reasons:
        match = _REASON.match(reason)
        if match is None:
            said.append(clean(reason, 200))
            continue
        is_clause = re.search(r"-\d{2,3}\Z", match[1]) is not None
        grouped.setdefault((match[2], is_clause), []).append(match[1])
    for (status, is_clause), names in sorted(grouped.items(), key=lambda item: item[0][1]):
        shown = ", ".join(names) if len(names) <= 8 else f"{len(names)} clauses"
        kind = "" if is_clause else ("criterion " if len(names) == 1 else "criteria ")
        said.append(f"{kind}{shown} {words(status)}")
    return said


def place(location: Mapping[str, Any]) -> str:
    """``file:line``, or the file alone."""
    file = clean(location["file"], 400)
    return f"{file}:{location['line']}" if location["line"] else file


def alone(report: Mapping[str, Any], clause: Mapping[str, Any]) -> str:
    """The command that runs the tests of one clause again on the same subject, same seed."""
    if not clause["nodeids"]:
        return ""
    command = report["run"]["command"]
    ours = any(str(word).startswith("pytest_triton.suites") for word in command)
    line = ["pytest"]
    targets = []
    for nodeid in clause["nodeids"][:3]:
        file, _, test = nodeid.partition("::")
        path = PurePosixPath(file)
        if ours and (path.parent.name in ("", "suites") or "pytest_triton" in path.parts):
            targets.append(f"pytest_triton.suites.{path.stem}::{test}")
            line[1:] = ["--pyargs"]
        else:
            targets.append(nodeid)
    settings = report["run"]["settings"]
    for name in _SUBJECT:
        value, option = settings.get(name), BY_FIELD[name]
        if value is not None and value != option.default:
            targets += [option.flag, str(value)]
    targets += ["--triton-seed", str(report["run"]["seed"])]
    # What has no option goes by the environment.
    if handed := settings.get("handed_in"):
        line = ["env", f"{BY_FIELD['handed_in'].env}={handed}", *line]
    return clean(shlex.join(line + targets), 1000)
