"""What somebody hands in: where its benchmark and its load test are. Nothing is run or loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.criteria import Missing, NotAssessed, Reason
from pytest_triton.errors import ToolError
from pytest_triton.load.reading.recognise import SUFFIXES
from pytest_triton.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST = "submission.toml"
HOW = "name the directory with triton_handed_in (ini) or PYTEST_TRITON_HANDED_IN"
#: Names of a load test, the first that is there counts; also below load_test/.
LOAD_TESTS = ("loadtest.py", "locustfile.py", "loadtest.sh")
#: Names of a script that diagnoses, and of a runbook; also below troubleshooting/.
DIAGNOSES = ("diagnose.py", "diagnose.sh")
RUNBOOKS = ("runbook.md", "RUNBOOK.md", "troubleshooting.md", "TROUBLESHOOTING.md")
#: Files and bytes of a manifest that are looked at.
MOST_FILES, MOST_MANIFEST = 200, 64 << 10
#: Directories of what monitors, below the one that was handed in.
PLACES = ("", "monitoring", "prometheus", "monitoring/prometheus", "monitoring/grafana", "grafana")
#: Names in use for what monitors, the first that is there counts.
PROMETHEUS = ("prometheus.yml", "prometheus.yaml")
ALERTMANAGER = ("alertmanager.yml", "alertmanager.yaml")
RULES = ("*rule*.y*ml", "*alert*.y*ml", "rules/*.y*ml", "alerts/*.y*ml")
DASHBOARDS = ("dashboard*.json", "*dashboard*.json", "dashboards/*.json", "grafana/*.json")
#: Health checks: compose files, Kubernetes manifests, scripts.
HEALTH_CHECKS = ("docker-compose*.y*ml", "compose*.y*ml", "deploy*.y*ml", "k8s/*.y*ml",
                 "kubernetes/*.y*ml", "healthcheck.sh", "healthcheck.py")  # fmt: skip
_KEYS = {
    "files": {
        "benchmark",
        "load_test",
        "prometheus",
        "alertmanager",
        "rules",
        "dashboards",
        "health_checks",
        "diagnose",
    },
    "benchmark": {"model", "batch"},
    "load_test": {"model"},
}


class NotAllowed(ToolError):
    """A manifest or a file that is not as it has to be; the fault of who handed it in."""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A directory that was handed in: files as (path, name in messages).

    ``model`` and ``batch`` of the benchmark, ``load_model`` of the load test as the manifest
    says them; "" and 1 where it does not.
    """

    directory: Path
    benchmarks: tuple[tuple[Path, str], ...] = ()
    load_test: Path | None = None
    model: str = ""
    batch: int = 1
    load_model: str = ""
    prometheus: Path | None = None
    alertmanager: Path | None = None
    rules: tuple[Path, ...] = ()
    dashboards: tuple[Path, ...] = ()
    health_checks: tuple[Path, ...] = ()
    diagnose: Path | None = None
    runbook: Path | None = None


def handed_in(settings: Settings) -> HandedIn:
    """What was handed in. Raises Missing, and AssertionError for what is not allowed."""
    if settings.handed_in is None:
        raise Missing(f"nothing was handed in: {HOW}")
    try:
        return look(settings.handed_in)
    except NotAllowed as error:
        raise AssertionError(str(error)) from None


def handed_in_for_more(settings: Settings) -> HandedIn:
    """As :func:`handed_in`, for what can be judged in part without: NotAssessed (not applicable)
    where nothing was handed in."""
    if settings.handed_in is None:
        raise NotAssessed(Reason.NOT_APPLICABLE, f"nothing was handed in: {HOW}")
    return handed_in(settings)


def look(directory: Path) -> HandedIn:
    """Find what was handed in. Raises NotAllowed for a manifest or a link that leads outside."""
    root = directory.resolve()
    manifest = _manifest(root)
    files, about = manifest.get("files", {}), manifest.get("benchmark", {})
    if "benchmark" in files:
        told = files["benchmark"]
        chosen = [_inside(root, name) for name in (told if isinstance(told, list) else [told])]
    else:
        chosen = sorted(path for path in root.glob("benchmark*") if path.name != MANIFEST)
    benchmarks = [path for start in chosen for path in _files(root, start)]
    load_test = _script(root, files, "load_test", LOAD_TESTS, "load_test")
    batch = about.get("batch", 1)
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 1 << 16:
        raise NotAllowed(f"{MANIFEST}: benchmark.batch is {batch!r}", "write  batch = 8")
    return HandedIn(
        root,
        tuple((path, str(path.relative_to(root))) for path in benchmarks),
        load_test,
        _text(about, "model"),
        batch,
        _text(manifest.get("load_test", {}), "model"),
        _first(root, files, "prometheus", PROMETHEUS),
        _first(root, files, "alertmanager", ALERTMANAGER),
        _all(root, files, "rules", RULES, but=PROMETHEUS + ALERTMANAGER),
        _all(root, files, "dashboards", DASHBOARDS),
        _all(root, files, "health_checks", HEALTH_CHECKS),
        _script(root, files, "diagnose", DIAGNOSES, "troubleshooting"),
        _script(root, {}, "runbook", RUNBOOKS, "troubleshooting"),
    )


def _script(
    root: Path, files: Mapping[str, Any], key: str, names: tuple[str, ...], below: str
) -> Path | None:
    """The file of a manifest, or the first of the usual names, here or in a directory below."""
    if key in files:
        found: Path | None = _inside(root, files[key])
    else:
        places = [root / base / name for base in ("", below) for name in names]
        found = next((path for path in places if os.path.lexists(path)), None)
    if found is not None and not _contained(root, found).is_file():
        raise NotAllowed(f"{found.name} is no file", "hand in a file")
    return found


def _first(root: Path, files: Mapping[str, Any], key: str, names: tuple[str, ...]) -> Path | None:
    """The file of a manifest, or the first that lies in one of the usual places."""
    if key in files:
        return _inside(root, files[key])
    places = [root / base / name for base in PLACES for name in names]
    found = next((path for path in places if os.path.lexists(path)), None)
    return None if found is None else _contained(root, found)


def _all(
    root: Path, files: Mapping[str, Any], key: str, patterns: tuple[str, ...],
    but: tuple[str, ...] = (),
) -> tuple[Path, ...]:  # fmt: skip
    """The files of a manifest, or those of the usual names, in order of their names."""
    if key in files:
        told = files[key]
        return tuple(_inside(root, name) for name in (told if isinstance(told, list) else [told]))
    found = {
        path
        for base in PLACES
        for pattern in patterns
        for path in (root / base).glob(pattern)
        if path.name not in but
    }
    if len(found) > MOST_FILES:
        raise NotAllowed(f"over {MOST_FILES} files of {key}", "hand in those that count")
    return tuple(_contained(root, path) for path in sorted(found) if path.is_file())


def _manifest(root: Path) -> Mapping[str, Any]:
    path = root / MANIFEST
    if not os.path.lexists(path):
        return {}
    if not _contained(root, path).is_file():
        raise NotAllowed(f"{MANIFEST} is no file", "hand in a file")
    with path.open("rb") as file:
        data = file.read(MOST_MANIFEST + 1)
    if len(data) > MOST_MANIFEST:
        raise NotAllowed(f"{MANIFEST} is over {MOST_MANIFEST >> 10} KiB", "name files in it only")
    try:
        found: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotAllowed(f"{MANIFEST}: {error}", "see docs/how-to/hand-in-a-benchmark.md") from None
    for table, keys in _KEYS.items():
        told = found.get(table, {})
        if not isinstance(told, dict) or told.keys() - keys:
            raise NotAllowed(
                f"{MANIFEST}: [{table}] may say {', '.join(sorted(keys))}",
                "see docs/how-to/hand-in-a-benchmark.md",
            )
    return found


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise NotAllowed(f"{MANIFEST}: {key} is {value!r:.40}", f'write  {key} = "NAME"')
    return value


def _inside(root: Path, name: Any) -> Path:
    """A path of the manifest. Raises NotAllowed for one that leads outside, or to nothing."""
    if not isinstance(name, str) or not name or "\x00" in name:
        raise NotAllowed(f"{MANIFEST}: {name!r:.60} names no file", "name files inside")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise NotAllowed(f"{MANIFEST}: {name!r} leads outside", "name files inside")
    path = root / name
    if not os.path.lexists(path):
        raise NotAllowed(f"{MANIFEST}: there is no {name!r}", "name files inside")
    return _contained(root, path)


def _contained(root: Path, path: Path) -> Path:
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop of links
        inside = False
    if not inside:
        raise NotAllowed(
            f"{path.relative_to(root)} is a link that leads outside", "hand in the file itself"
        )
    return path


def _files(root: Path, start: Path) -> Iterator[Path]:
    """The files of a benchmark, in order of their names; links to directories are not followed."""
    if not _contained(root, start).is_dir():
        yield start
        return
    seen = 0
    for base, directories, names in os.walk(start):
        directories.sort()
        for name in sorted(names):
            if not name.lower().endswith(SUFFIXES):
                continue
            seen += 1
            if seen > MOST_FILES:
                raise NotAllowed(
                    f"over {MOST_FILES} files in {start.name}", "hand in the results alone"
                )
            yield _contained(root, Path(base) / name)
