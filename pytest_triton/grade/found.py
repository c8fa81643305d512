"""What of a submission is there, what is missing, and which criterion goes without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.handed_in import HandedIn

#: How many names of one piece are told.
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that the lab asks for; ``key`` as in ``submission.toml``."""

    key: str
    title: str
    #: Criteria that are judged by it; empty: nothing is, it is read by people.
    criteria: tuple[str, ...]
    #: Where it is looked for first.
    place: str
    paths: Callable[[HandedIn], Sequence[Path | None]]
    #: Whether a criterion passes without: it is judged by other things too.
    optional: bool = False


PIECES: tuple[Piece, ...] = (
    Piece("model_repository", "model repository",
          ("B1", "B2", "B3", "B4", "A1", "A4", "E1", "E2"), "model_repository/",
          lambda found: [found.repository]),
    Piece("compose", "compose file", (), "compose.yaml", lambda found: [found.compose]),
    Piece("client", "client of the inference API", (), "client.py", lambda found: [found.client]),
    Piece("health_checks", "health checks", ("B4",), "healthcheck.sh",
          lambda found: found.health_checks, optional=True),
    Piece("prometheus", "Prometheus configuration", ("A2",), "monitoring/prometheus.yml",
          lambda found: [found.prometheus]),
    Piece("rules", "alert rules", ("A2",), "monitoring/rules/*.yml",
          lambda found: found.rules),
    Piece("alertmanager", "Alertmanager configuration", ("A2",), "monitoring/alertmanager.yml",
          lambda found: [found.alertmanager], optional=True),
    Piece("benchmark", "benchmark results", ("A3",), "benchmarks/",
          lambda found: [path for path, _ in found.benchmarks]),
    Piece("diagnose", "script that diagnoses", ("A4",), "diagnose.py",
          lambda found: [found.diagnose]),
    Piece("runbook", "runbook", ("A4",), "runbook.md", lambda found: [found.runbook],
          optional=True),
    Piece("load_test", "load test", ("E3",), "locustfile.py", lambda found: [found.load_test]),
    Piece("dashboards", "dashboards", ("E4",), "monitoring/dashboards/*.json",
          lambda found: found.dashboards),
    Piece("notebooks", "notebooks", (), "notebooks/*.ipynb", lambda found: found.notebooks),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One piece and the files of it, relative to the submission; none: it is missing."""

    piece: Piece
    names: tuple[str, ...]

    @property
    def told(self) -> str:
        """The files, as short as a table wants them."""
        rest = len(self.names) - _TOLD
        more = f" and {rest} more" if rest > 0 else ""
        return ", ".join(self.names[:_TOLD]) + more

    @property
    def consequence(self) -> str:
        """What its absence costs; "" where it is there or costs nothing."""
        if self.names or not self.piece.criteria:
            return ""
        which = ", ".join(self.piece.criteria)
        if self.piece.optional:
            return f"{which}: not judged by it"
        return f"{which}: missing"


def rows(found: HandedIn) -> list[Row]:
    """Every piece in the order of the lab."""
    return [
        Row(
            piece,
            tuple(
                str(path.relative_to(found.directory))
                for path in piece.paths(found)
                if path is not None
            ),
        )
        for piece in PIECES
    ]
