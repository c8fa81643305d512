"""The catalogue: criteria (what is graded) made of clauses (what is observed), as data."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pytest_triton.criteria import requires, shows
from pytest_triton.errors import ToolError
from pytest_triton.options import AREAS, TIERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATA = Path(__file__).parent

#: What a clause may say in ``requires``; probed once on the subject.
CAPABILITIES = {
    "owned": "the server was booted by us",
    "reference": "the subject is the reference repository",
    "repository": "the repository's files are at hand",
    "eager": "right answers are known: an eager reference, a side-car, validation data, or "
    "TorchScript files at hand and torch to run them (pip install 'pytest-triton[torch]')",
    "pytorch": "a PyTorch model is ready",
    "unary": "a ready model answers one request with one response, and keeps no state",
    "json": "the tensors of such a model travel as JSON: no FP16 or BF16, not large",
    "batching": "a ready model has max_batch_size above 0",
    "dynamic_batching": "a ready PyTorch model has dynamic_batching",
    "versions": "a ready model serves several versions",
    "ensemble": "a ready model is an ensemble",
    "decoupled": "a ready model is decoupled",
    "labels": "a ready model has labels on an output",
    "gpu": "the server reports a GPU",
    "probes": "the probe models are at hand: the server is ours, or serves them "
    "(pytest-triton probes DIR writes them)",
    "shared_memory": "the server and the judge share /dev/shm, and clients may register regions",
}
#: What a clause may say in ``needs``; missing it is a hole, not an inapplicability.
NEEDS = {
    "control": "control of the server (--triton-allow-control on an endpoint)",
    "load": "permission for load (--triton-allow-load on an endpoint)",
    "quiet": "no neighbouring test processes (-n0)",
    "grpc": "a gRPC endpoint",
    "metrics": "a metrics endpoint",
}
#: What a clause may say in ``after``: memoised probes; a false one blocks the clause.
PREREQUISITES = {
    "http": "the server answers on HTTP",
    "live": "the server answers on HTTP, and speaks the v2 protocol",
    "grpc": "the server answers on gRPC",
    "metrics": "the metrics endpoint answers",
    "model": "at least one model is ready",
    "pytorch": "at least one PyTorch model is ready",
}
_CLAUSE_ID = re.compile(r"[A-Z][A-Z0-9]{1,7}-\d{2,3}\Z")
_CRITERION_ID = re.compile(r"[A-Z][A-Za-z0-9_-]{0,15}\Z")


class CatalogueError(ToolError):
    """An entry of the catalogue contradicts itself or another one."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One observable requirement.

    ``releases`` is a pair of first and last release (both inclusive, empty for open),
    ``needs``, ``after`` and ``requires`` say when it can be judged at all, ``exclusive`` that
    no other test process may use the server meanwhile (exact counters, control), ``waits``
    that time has to pass on the server's side (a queue, an unload, an idle sequence).
    """

    id: str
    area: str
    title: str
    must: str
    source: str
    hint: str
    criteria: tuple[str, ...] = ()
    requires: str = ""
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    releases: tuple[str, str] = ("", "")
    built: bool = True
    measured: bool = False
    exclusive: bool = False
    waits: bool = False

    def holds_for(self, release: str | None) -> bool:
        """Whether the clause exists on this release ("24.10"); an unknown release keeps it."""
        first, last = self.releases
        if release is None:
            return True
        return (not first or release >= first) and (not last or release <= last)

    @property
    def unbuilt(self) -> str:
        """Why a clause that is not built is not assessed."""
        first = self.releases[0]
        return f"holds from release {first}; not built yet" if first else "not built yet"


@dataclass(frozen=True, slots=True)
class Criterion:
    """What is graded: a tier, points in hundredths, and the clauses that decide it.

    ``shows`` says what its line tells when it passes (:mod:`pytest_triton.criteria.shows`).
    """

    id: str
    tier: str
    title: str
    points: float
    shows: tuple[str, ...] = ()


@dataclass(slots=True)
class Catalogue:
    """All criteria and clauses; extensible by the hook ``pytest_triton_catalogue``."""

    criteria: dict[str, Criterion] = field(default_factory=dict)
    clauses: dict[str, Clause] = field(default_factory=dict)

    def of(self, criterion: str) -> list[Clause]:
        """The clauses of a criterion, in the order of the catalogue."""
        return [clause for clause in self.clauses.values() if criterion in clause.criteria]

    def add(self, data: Mapping[str, Any], *, origin: str) -> None:
        """Add ``[[criterion]]`` and ``[[clause]]`` tables; CatalogueError names ``origin``."""
        for entry in data.get("criterion", ()):
            criterion = _criterion(entry, origin)
            if criterion.id in self.criteria:
                raise CatalogueError(f"{origin}: criterion {criterion.id} exists already")
            self.criteria[criterion.id] = criterion
        for entry in data.get("clause", ()):
            clause = _clause(entry, origin)
            if clause.id in self.clauses:
                raise CatalogueError(f"{origin}: clause {clause.id} exists already")
            for name in clause.criteria:
                if name not in self.criteria:
                    raise CatalogueError(f"{origin}: {clause.id} names no criterion {name!r}")
            self.clauses[clause.id] = clause

    def check(self) -> None:
        """CatalogueError if a clause or criterion of ours was taken out or changed."""
        own = _own()
        pairs: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = (
            (own.criteria, self.criteria),
            (own.clauses, self.clauses),
        )
        changed = [
            name for ours, here in pairs for name, entry in ours.items() if here.get(name) != entry
        ]
        if changed:
            raise CatalogueError(
                f"pytest_triton_catalogue changed {', '.join(changed[:5])}",
                "the hook can add criteria and clauses, and leaves ours as they are; "
                "--triton-scope and --triton-waivers limit what counts",
            )

    def add_file(self, path: Path) -> None:
        """Add a TOML file of the same tables."""
        try:
            data = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CatalogueError(f"{path}: {error}") from None
        self.add(data, origin=str(path))


def _known(value: Iterable[str], allowed: Iterable[str], what: str, origin: str) -> None:
    for item in value:
        if item not in allowed:
            raise CatalogueError(
                f"{origin}: {what} {item!r} is unknown", f"known are {', '.join(sorted(allowed))}"
            )


def _take(entry: Mapping[str, Any], required: set[str], optional: set[str], origin: str) -> None:
    label = f"{origin}: {entry.get('id', 'an entry without id')}"
    if missing := required - entry.keys():
        raise CatalogueError(f"{label} lacks {', '.join(sorted(missing))}")
    if unknown := entry.keys() - required - optional:
        raise CatalogueError(f"{label} has unknown keys {', '.join(sorted(unknown))}")


def _criterion(entry: Mapping[str, Any], origin: str) -> Criterion:
    _take(entry, {"id", "tier", "title", "points"}, {"shows"}, origin)
    if not _CRITERION_ID.match(entry["id"]):
        raise CatalogueError(f"{origin}: {entry['id']!r} is no criterion id")
    _known([entry["tier"]], TIERS, "tier", origin)
    try:
        for phrase in entry.get("shows", ()):
            shows.parse(phrase)
    except ValueError as error:
        raise CatalogueError(f"{origin}: {entry['id']}: shows: {error}") from None
    return Criterion(
        entry["id"],
        entry["tier"],
        entry["title"],
        float(entry["points"]),
        tuple(entry.get("shows", ())),
    )


def _clause(entry: Mapping[str, Any], origin: str) -> Clause:
    optional = {
        "criteria", "requires", "needs", "after", "releases", "built", "measured", "exclusive", "waits",
    }  # fmt: skip
    _take(entry, {"id", "area", "title", "must", "source", "hint"}, optional, origin)
    if not _CLAUSE_ID.match(entry["id"]):
        raise CatalogueError(f"{origin}: {entry['id']!r} is no clause id (ABC-01)")
    label = f"{origin}: {entry['id']}"
    if "MUST" not in entry["must"]:
        raise CatalogueError(f"{label}: 'must' is a sentence with MUST")
    _known([entry["area"]], AREAS, "area", label)
    _known(entry.get("needs", ()), NEEDS, "need", label)
    _known(entry.get("after", ()), PREREQUISITES, "prerequisite", label)
    if text := entry.get("requires", ""):
        try:
            _known(requires.names(text), CAPABILITIES, "capability", label)
        except requires.ExpressionError as error:
            raise CatalogueError(f"{label}: requires: {error}") from None
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return Clause(**values)


@cache
def _own() -> Catalogue:
    catalogue = Catalogue()
    catalogue.add_file(DATA / "criteria.toml")
    for path in sorted((DATA / "clauses").glob("*.toml")):
        catalogue.add_file(path)
    return catalogue


def load() -> Catalogue:
    """A fresh copy of our own catalogue (CatalogueError if it contradicts itself)."""
    own = _own()
    return Catalogue(dict(own.criteria), dict(own.clauses))
