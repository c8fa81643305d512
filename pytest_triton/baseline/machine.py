"""What two runs had in common, and what of it makes their numbers incomparable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """One fact that differs; ``decides``: numbers of the two are of different machines."""

    name: str
    old: str
    new: str
    decides: bool


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Setting]:
    """Every fact of subject, server, machine and environment that differs."""
    left, right = dict(_facts(old)), dict(_facts(new))
    found = []
    for name in dict.fromkeys((*left, *right)):
        (was, decides), (now, _) = left.get(name, ("", False)), right.get(name, ("", False))
        decides = decides or right.get(name, ("", False))[1]
        if was != now:
            found.append(Setting(name, was or "none", now or "none", decides))
    return found


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, bool]]]:
    """(name, (value, whether numbers hang on it))."""
    found, subject, run = report["environment"], report["subject"], report["run"]
    server = found["server"]
    gpus = sorted(str(gpu.get("name") or gpu.get("uuid") or "unnamed") for gpu in found["gpus"])
    yield "processor", (str(found["cpu"]["model"]), True)
    yield "processors usable", (str(found["cpu"]["count"]), True)
    yield "GPUs", (", ".join(gpus), True)
    yield "server", (f"{server['name'] or 'none'} {server['version'] or ''}".strip(), True)
    yield "release", (str(subject.get("release") or subject["release_expected"] or ""), True)
    yield "device", (str(subject.get("device") or ""), True)
    yield "subject", (str(subject["kind"]), True)
    if subject["kind"] == "endpoint":
        # Whose machine it is, only its address can say.
        yield "endpoint", (str(subject["urls"].get("http") or ""), True)
    yield "launcher", (str(run["settings"].get("launcher") or ""), subject["kind"] != "endpoint")
    yield "models", (", ".join(map(str, subject.get("ready") or ())), False)
    yield "repository SHA-256", (str(subject["repository_sha256"] or ""), False)
    yield "server extensions", (", ".join(sorted(map(str, server["extensions"]))), False)
    yield "system", (str(found["os"]), False)
    yield "Python", (str(found["python"]), False)
    for name, version in sorted(found["packages"].items()):
        yield str(name), (str(version), False)
    yield "pytest-triton", (str(report["suite"]["version"]), False)
    yield "asked tier", (str(run["tier"]), False)
    yield "scope", (", ".join(run["scope"]) or "everything", False)
    yield "waivers", (str(report["verdict"]["waivers"]), False)
