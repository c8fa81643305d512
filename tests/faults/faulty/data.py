"""The faults, out of the TOML files beside this package."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pytest_triton.criteria import load
from pytest_triton.criteria.catalogue import PREREQUISITES

from .edits import Edit
from .proxy.rules import rule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DIRECTORY = Path(__file__).resolve().parent.parent
KINDS = ("wire", "probes", "gpu", "repository", "server", "handed_in", "monitoring")
#: Kinds whose subject is an endpoint: a proxy before a healthy server; "gpu": on a GPU.
ON_THE_WIRE = ("wire", "probes", "gpu")


@dataclass(frozen=True)
class ServerFault:
    """What a stand-in for tritonserver does otherwise than the real one."""

    #: Only servers whose command line matches; "" for every one.
    only: str = ""
    #: Leave so many of them alone, the first that are started.
    skip: int = 0
    #: Flags that are added at the end, and flags (by name) that are taken away.
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    #: Patterns and replacements in the configurations of what it serves; each has to be found.
    rewrite: tuple[tuple[str, str], ...] = ()
    #: On SIGTERM: "" as the real one, "ignore", "drop" (nothing is put in order, and status 0),
    #: or the exit status.
    sigterm: str | int = ""
    #: What is there when it has ended: "region" (its regions of shared memory), "listener" (a
    #: process that listens on its HTTP port), or "connections" (those of its clients over HTTP).
    leaves: str = ""
    #: Lines that it writes into its log before the real one starts, and once it is ready.
    log: tuple[str, ...] = ()
    #: "" starts the real one; "exit" ends with status 1; "hang" never opens a port.
    start: str = ""
    #: Pause in seconds before the real one starts.
    delay: float = 0.0
    #: Patterns and replacements in its files of traces.
    traces: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for pattern in (self.only, *(pattern for pattern, _ in self.traces)):
            re.compile(pattern)
        if self.start not in ("", "exit", "hang"):
            raise ValueError(f"server.start is exit or hang, not {self.start!r}")
        if isinstance(self.sigterm, str) and self.sigterm not in ("", "ignore", "drop"):
            raise ValueError(f"server.sigterm is ignore, drop or a status, not {self.sigterm!r}")
        if self.leaves not in ("", "region", "listener", "connections"):
            raise ValueError(f"server.leaves does not know {self.leaves!r}")


@dataclass(frozen=True)
class Fault:
    """One broken thing, the clause that has to notice it, and what else may notice it."""

    name: str
    clause: str
    kind: str
    what: str
    #: Pattern that the clause's reason has to match.
    reason: str
    #: Clauses that may fail too, and clauses that may be blocked or not applicable because of
    #: it; "after:live" names all that come after that prerequisite, "everything" all.
    companions: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    #: Slow clauses (measured, waiting, or with a server of their own) that run here too; others
    #: than these and its own are deselected.
    run: tuple[str, ...] = ()
    #: --triton-models: fewer models boot faster (repository and server).
    models: str = "*"
    #: More arguments for the judge.
    arguments: tuple[str, ...] = ()
    #: Changes on the wire (kind server: a proxy in front of that server).
    rule: tuple[dict[str, Any], ...] = ()
    #: Changes of the repository (kind server: of what is served, not of what is judged; kind
    #: handed_in and monitoring: of what is handed in).
    edit: tuple[Edit, ...] = ()
    server: ServerFault = field(default_factory=ServerFault)

    @property
    def runs(self) -> tuple[str, ...]:
        """The clauses that run however slow they are."""
        return (self.clause, *self.run)

    @property
    def may_fail(self) -> set[str]:
        """The other clauses that may fail."""
        return self._named(self.companions)

    @property
    def consequences(self) -> set[str]:
        """The clauses that may be blocked, not applicable or without inputs."""
        return self._named(self.blocked)

    def _named(self, names: tuple[str, ...]) -> set[str]:
        named = set()
        for name in names:
            kind, colon, prerequisite = name.partition(":")
            if name == "everything":
                named |= {c.id for c in load().clauses.values() if c.built}
            elif not colon:
                named.add(name)
            elif kind == "after" and prerequisite in PREREQUISITES:
                # What is no server of HTTP is none of the v2 protocol either.
                first = {prerequisite, "http"} if prerequisite == "live" else {prerequisite}
                named |= {c.id for c in load().clauses.values() if first & set(c.after)}
            else:
                raise ValueError(f"{name!r} is neither a clause nor after:PREREQUISITE")
        return named

    @property
    def id(self) -> str:
        """For pytest: the clause first, so that ``-k HLT-05`` selects its faults."""
        return f"{self.clause}-{self.name}"


def _fault(entry: dict[str, Any], origin: str) -> Fault:
    label = f"{origin}: {entry.get('clause')} {entry.get('name')!r}"
    try:
        if unknown := entry.keys() - {item.name for item in fields(Fault)}:
            raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
        }
        for item in values.get("rule", ()):
            rule(item)
        values["edit"] = tuple(Edit.read(item) for item in values.get("edit", ()))
        server = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in values.get("server", {}).items()
        }
        values["server"] = ServerFault(**server)
        fault = Fault(**values)
        re.compile(fault.reason)
        _check(fault)
    except (TypeError, ValueError, re.error) as error:
        raise ValueError(f"{label}: {error}") from None
    return fault


def _check(fault: Fault) -> None:
    if fault.kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {fault.kind!r}")
    if fault.kind in ON_THE_WIRE and (
        fault.edit or fault.server != ServerFault() or not fault.rule
    ):
        raise ValueError(f"a {fault.kind} fault has rules and nothing else")
    if fault.kind in ("repository", "handed_in", "monitoring") and (fault.rule or not fault.edit):
        raise ValueError(f"a {fault.kind} fault has edits and no rules")
    if fault.kind == "server" and not (fault.rule or fault.edit or fault.server != ServerFault()):
        raise ValueError("a server fault says what the server does")
    if fault.kind in ON_THE_WIRE and fault.models != "*":
        raise ValueError(f"all {fault.kind} faults share one server with all its models")
    if not fault.reason:
        raise ValueError("says no reason: what has the clause to tell?")


def read_faults(directory: Path = DIRECTORY) -> list[Fault]:
    """Every fault of the TOML files in a directory; ValueError names the entry that is wrong."""
    faults: list[Fault] = []
    for path in sorted(directory.glob("*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        if data.keys() - {"fault"}:
            raise ValueError(f"{path.name}: only [[fault]] tables belong here")
        faults += [_fault(entry, path.name) for entry in data.get("fault", ())]
    seen: set[str] = set()
    for fault in faults:
        if fault.id in seen:
            raise ValueError(f"{fault.id}: two faults of one name")
        seen.add(fault.id)
    return faults
