"""Why a boot failed: the reason out of the log or the index, and where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_triton.deployment import tail
from pytest_triton.errors import DeploymentFailed


class PortTaken(DeploymentFailed):
    """Somebody else took a port between its choice and its use."""


class Story:
    """One boot, and what its log tells of it."""

    def __init__(
        self,
        log: Path,
        kept: Path | None,
        repository: Path,
        version: str,
        models: Sequence[str],
    ) -> None:
        self.log, self.repository, self.version, self.models = log, repository, version, models
        #: Where the log is found afterwards; None: it goes with the server.
        self.kept = kept

    @property
    def server(self) -> str:
        return f"Triton {self.version}, embedded" if self.version else "Triton, embedded"

    def ended(self, status: int | None) -> DeploymentFailed:
        """The server process ended before it was ready."""
        return DeploymentFailed(
            f"the server ended while it started ({self.server}, exit status {status})",
            log_path=self.kept,
            log_tail=tail(self.log),
        )

    def too_late(self) -> DeploymentFailed:
        """The deadline passed."""
        return DeploymentFailed(
            f"the server was not ready in time ({self.server})",
            log_path=self.kept,
            log_tail=tail(self.log),
        )

    def failures(self, index: Sequence[Mapping[str, Any]], models: Sequence[str]) -> dict[str, str]:
        """model -> reason, for every expected model that is not READY in the index."""
        failed = {}
        for name in models:
            entries = [item for item in index if item.get("name") == name]
            bad = [item for item in entries if item.get("state") != "READY"]
            if bad or not entries:
                failed[name] = next((str(item.get("reason", "")) for item in bad), "not loaded")
        return failed

    def failed(self, failures: Mapping[str, str]) -> DeploymentFailed:
        """Models that are not ready."""
        model = next(iter(failures))
        return DeploymentFailed(
            f'model "{model}" did not load ({self.server})',
            reason=failures[model],
            model=model,
            failures=failures,
            log_path=self.kept,
            log_tail=tail(self.log),
        )
