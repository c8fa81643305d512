"""What is under test: where it answers, what it serves, who owns it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

Kind = Literal["reference", "repository", "endpoint", "submission"]

#: Bytes read from the end of a log for its last lines.
_TAIL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Triton server, however it came: a launcher made it, or it was already there."""

    kind: Kind
    #: ``http://host:port`` and a base path if there is one, without a slash at the end.
    http_url: str
    #: ``host:port``; None when there is none, or none is known.
    grpc_url: str | None = None
    #: The address of the metrics page; None when there is none, or none is known.
    metrics_url: str | None = None
    #: True: a launcher of ours booted it and ends it.
    owned: bool = False
    #: The release that was asked for, e.g. "24.10"; None when nobody said.
    release: str | None = None
    #: What is served, where it is known.
    repository: Path | None = None
    #: The models that are expected to be ready.
    models: tuple[str, ...] = ()
    #: model -> reason: left out before the start, or did not load.
    failed: Mapping[str, str] = field(default_factory=dict)
    log_path: Path | None = None
    #: Of tritonserver itself.
    pid: int | None = None
    #: Seconds since the launcher was entered: ``prepare`` (when the server was started) and
    #: ``ready``; ``start`` is the time of the server alone, from its start to READY.
    boot: Mapping[str, float] = field(default_factory=dict)
    #: Headers that every request has to carry.
    headers: tuple[tuple[str, str], ...] = ()
    #: Where its models run: "cpu", "gpu" or "unknown".
    device: str = "unknown"

    @property
    def serving(self) -> tuple[str, ...]:
        """The expected models that did not fail."""
        return tuple(name for name in self.models if name not in self.failed)

    def log_text(self) -> str:
        """The whole log of the server; empty when there is none."""
        try:
            return self.log_path.read_text("utf-8", "replace") if self.log_path else ""
        except OSError:
            return ""

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log; empty when there is none."""
        return tail(self.log_path, lines) if self.log_path else ""

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads back, for another process."""
        data: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("repository", "log_path"):
            data[name] = str(data[name]) if data[name] is not None else None
        data["failed"], data["boot"] = dict(self.failed), dict(self.boot)
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """The inverse of :meth:`to_json`."""
        data = json.loads(text)
        for name in ("repository", "log_path"):
            data[name] = Path(data[name]) if data[name] is not None else None
        data["models"] = tuple(data["models"])
        data["headers"] = tuple((str(name), str(value)) for name, value in data["headers"])
        return cls(**data)


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, whatever its size; empty when it cannot be read.

    tritonserver's tables (models, options) are left out: their rows would be most of it.
    """
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    said = [line for line in text.splitlines() if line.strip() and line[0] not in "|+"]
    return "\n".join(said[-lines:])
