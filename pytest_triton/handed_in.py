"""What somebody hands in: where each piece of it is. Nothing is run or loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.criteria import Missing, NotAssessed, Reason
from pytest_triton.load.reading.recognise import SUFFIXES
from pytest_triton.settings import Settings
from pytest_triton.submission_toml import MANIFEST, MOST_FILES, NotAllowed, contained, read

HOW = "name the directory with triton_handed_in (ini) or PYTEST_TRITON_HANDED_IN"
#: The model repository, the first that is there.
REPOSITORIES = ("model_repository", "models", "model-repository")
#: How the server is started: the first compose file that is there.
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
#: A client of the inference API.
CLIENTS = ("client.py", "client.sh", "inference.py", "test_inference.py")
NOTEBOOKS = ("*.ipynb", "notebooks/*.ipynb")
#: Names of a load test, the first that is there counts; also below load_test/.
LOAD_TESTS = ("loadtest.py", "locustfile.py", "loadtest.sh")
#: Names of a script that diagnoses, and of a runbook; also below troubleshooting/.
DIAGNOSES = ("diagnose.py", "diagnose.sh")
RUNBOOKS = ("runbook.md", "RUNBOOK.md", "troubleshooting.md", "TROUBLESHOOTING.md")
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
    repository: Path | None = None
    compose: Path | None = None
    client: Path | None = None
    notebooks: tuple[Path, ...] = ()


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
    manifest = read(root)
    files, about = manifest.get("files", {}), manifest.get("benchmark", {})
    chosen = files.get("benchmark")
    if chosen is None:
        chosen = sorted(path for path in root.glob("benchmark*") if path.name != MANIFEST)
    benchmarks = [path for start in chosen for path in _files(root, start)]
    load_test = _script(root, files, "load_test", LOAD_TESTS, "load_test")
    return HandedIn(
        root,
        tuple((path, str(path.relative_to(root))) for path in benchmarks),
        load_test,
        about.get("model", ""),
        about.get("batch", 1),
        manifest.get("load_test", {}).get("model", ""),
        _first(root, files, "prometheus", PROMETHEUS),
        _first(root, files, "alertmanager", ALERTMANAGER),
        _all(root, files, "rules", RULES, but=PROMETHEUS + ALERTMANAGER),
        _all(root, files, "dashboards", DASHBOARDS),
        _all(root, files, "health_checks", HEALTH_CHECKS),
        _script(root, files, "diagnose", DIAGNOSES, "troubleshooting"),
        _script(root, files, "runbook", RUNBOOKS, "troubleshooting"),
        _repository(root, files),
        _script(root, files, "compose", COMPOSE, "deploy"),
        _script(root, files, "client", CLIENTS, "client"),
        _all(root, files, "notebooks", NOTEBOOKS),
    )


def _script(
    root: Path, files: Mapping[str, list[Path]], key: str, names: tuple[str, ...], below: str
) -> Path | None:
    """The file of a manifest, or the first of the usual names, here or in a directory below."""
    if key in files:
        found: Path | None = files[key][0]
    else:
        places = [root / base / name for base in ("", below) for name in names]
        found = next((path for path in places if os.path.lexists(path)), None)
    return None if found is None else _file(root, found)


def _file(root: Path, path: Path) -> Path:
    if not contained(root, path).is_file():
        raise NotAllowed(f"{path.relative_to(root)} is no file", "hand in a file")
    return path


def _repository(root: Path, files: Mapping[str, list[Path]]) -> Path | None:
    """The directory of the models, or None."""
    places = files.get("model_repository", [root / name for name in REPOSITORIES])
    found = next((path for path in places if os.path.lexists(path)), None)
    if found is not None and not contained(root, found).is_dir():
        raise NotAllowed(f"{found.name} is no directory", "hand in one directory for each model")
    return found


def _first(
    root: Path, files: Mapping[str, list[Path]], key: str, names: tuple[str, ...]
) -> Path | None:
    """The file of a manifest, or the first that lies in one of the usual places."""
    if key in files:
        return _file(root, files[key][0])
    places = [root / base / name for base in PLACES for name in names]
    found = next((path for path in places if os.path.lexists(path)), None)
    return None if found is None else contained(root, found)


def _all(
    root: Path, files: Mapping[str, list[Path]], key: str, patterns: tuple[str, ...],
    but: tuple[str, ...] = (),
) -> tuple[Path, ...]:  # fmt: skip
    """The files of a manifest, or those of the usual names, in order of their names."""
    if key in files:
        return tuple(_file(root, path) for path in files[key])
    found = {
        path
        for base in PLACES
        for pattern in patterns
        for path in (root / base).glob(pattern)
        if path.name not in but
    }
    if len(found) > MOST_FILES:
        raise NotAllowed(f"over {MOST_FILES} files of {key}", "hand in those that count")
    return tuple(contained(root, path) for path in sorted(found) if path.is_file())


def _files(root: Path, start: Path) -> Iterator[Path]:
    """The files of a benchmark, in order of their names; links to directories are not followed."""
    if not contained(root, start).is_dir():
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
            yield contained(root, Path(base) / name)
