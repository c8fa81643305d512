"""More servers in one session, each ended with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.deployment import Deployment
from pytest_triton.settings import Settings


class ServerFactory:
    """``factory(repository, models=None, **fields of ServerSpec)`` boots a server of its own."""

    def __init__(self, settings: Settings, logs: Path, progress: Callable[[str], None]) -> None:
        self._settings = settings
        self._logs = logs
        self._progress = progress
        self._servers: dict[str, tuple[Deployment, ExitStack]] = {}
        self._count = 0

    def __call__(
        self,
        repository: Path | str,
        models: tuple[str, ...] | None = None,
        *,
        tolerant: bool = False,
        **fields: Any,
    ) -> Deployment:
        """Boot; release, device and boot deadline follow the settings unless given."""
        from pytest_triton.launch.embedded import ServerSpec, embedded

        self._count += 1
        spec = ServerSpec(
            repository=Path(repository),
            models=models,
            release=self._settings.server_release,
            device=self._settings.device,
            boot_timeout=self._settings.boot_timeout,
            python=self._settings.server_python,
            log_path=self._logs / f"server-{self._count}.log",
        )
        stack = ExitStack()
        deployment = stack.enter_context(
            embedded(replace(spec, **fields), tolerant=tolerant, progress=self._progress)
        )
        self._servers[deployment.http_url] = (deployment, stack)
        return deployment

    def stop(self, deployment: Deployment) -> None:
        """End one of the servers now."""
        _, stack = self._servers.pop(deployment.http_url)
        stack.close()

    def __enter__(self) -> ServerFactory:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as everything:
            for _, stack in self._servers.values():
                everything.push(stack)
            self._servers.clear()
