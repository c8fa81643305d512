"""The attempt to get a server, kept as a value: a failed boot is a finding, not a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_triton import keys
from pytest_triton.criteria import Missing, NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.errors import DeploymentFailed, ToolError
from pytest_triton.settings import Settings


@dataclass(frozen=True, slots=True)
class Booted:
    """A deployment, or the error that came instead of one; neither: nothing was handed in."""

    deployment: Deployment | None
    error: ToolError | None

    def require(self) -> Deployment:
        """The deployment with every model ready; raises what stood in the way."""
        if self.deployment is None:
            raise self.error or Missing("no model repository was handed in")
        if self.deployment.failed:
            model, reason = next(iter(self.deployment.failed.items()))
            raise DeploymentFailed(
                f'model "{model}" did not load',
                reason=reason,
                model=model,
                failures=self.deployment.failed,
                log_path=self.deployment.log_path,
                remedy="pytest-triton serve on the repository shows the whole log",
            )
        return self.deployment

    def deployed(self) -> Deployment:
        """The deployment as it is; NotAssessed (blocked) when there is none, Missing where there
        was nothing to serve."""
        if self.deployment is None and self.error is None:
            raise Missing("no model repository was handed in: put it at model_repository/")
        if self.deployment is None:
            first = str(self.error).splitlines()[0]
            raise NotAssessed(Reason.BLOCKED, f"there is no server: {first}")
        return self.deployment

    def ours(self) -> Deployment:
        """As :meth:`deployed`; NotAssessed (not applicable) for a server that is not ours."""
        deployment = self.deployed()
        if not deployment.owned:
            raise NotAssessed(Reason.NOT_APPLICABLE, "does not apply: the server is not ours")
        return deployment


@contextmanager
def boot(
    config: pytest.Config, settings: Settings, progress: Callable[[str], None]
) -> Iterator[Booted]:
    """Boot or attach as the settings say. Clauses are judged on what came up (tolerant)."""
    from pytest_triton.gate import selected
    from pytest_triton.launch import launch

    armed = keys.SCORECARD in config.stash and config.stash[keys.SCORECARD].armed
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    if settings.kind == "submission" and settings.repository is None:
        yield Booted(None, None)  # never the reference in its place
        return
    manager = launch(
        settings,
        tolerant=armed,
        progress=progress,
        shared=worker.get("triton_shared"),
        log_path=settings.report / "server.log" if armed else None,
    )
    try:
        deployment = manager.__enter__()
    except ToolError as error:
        if armed and "SET-01" not in selected(config):  # which says it, and is not asked here
            progress(f"there is no server: {error}")
        yield Booted(None, error)
        return
    if deployment.owned:
        progress(_ready(deployment))
    try:
        yield Booted(deployment, None)
    finally:
        manager.__exit__(None, None, None)


def _ready(deployment: Deployment) -> str:
    """Where it listens, and how long that took."""
    ports = " · ".join(
        f"{name} {url.removesuffix('/metrics').rpartition(':')[2]}"
        for name, url in (
            ("http", deployment.http_url),
            ("grpc", deployment.grpc_url),
            ("metrics", deployment.metrics_url),
        )
        if url
    )
    return f"ready in {deployment.boot.get('ready', 0.0):.1f} s · {ports}"
