"""From settings to a Deployment, whichever way they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.deployment import Deployment, Kind
from pytest_triton.errors import ToolError
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    from pytest_triton.launch.embedded import ServerSpec

Progress = Callable[[str], None]


def require(settings: Settings) -> None:
    """Raise ToolError early if what was asked for cannot be booted on this machine."""
    if settings.kind == "endpoint":
        return
    if settings.launcher == "docker":
        raise ToolError(
            "the docker launcher is not built yet", "use --triton-launcher embedded, or attach"
        )
    from pytest_triton.launch.store import find_server

    find_server(settings.server_release)


def spec_of(
    settings: Settings,
    *,
    progress: Progress | None = None,
    log_path: Path | None = None,
    lifeline: Path | None = None,
) -> ServerSpec:
    """What to boot for these settings; exports the reference repository if it is that."""
    from pytest_triton.launch.embedded import ServerSpec

    kind: Kind = "repository"
    if settings.kind == "reference":
        kind = "reference"
        from pytest_triton.repository.reference import reference_repository

        repository = reference_repository(progress=progress)
    else:
        assert settings.repository is not None
        repository = settings.repository
    return ServerSpec(
        repository=repository,
        models=_selected(repository, settings.models),
        release=settings.server_release,
        device=settings.device,
        boot_timeout=settings.boot_timeout,
        python=settings.server_python,
        log_path=log_path,
        kind="submission" if settings.kind == "submission" else kind,
        lifeline=lifeline,
    )


def _selected(repository: Path, pattern: str) -> tuple[str, ...] | None:
    """The models that ``--triton-models`` selects; None for all of them."""
    if pattern == "*":
        return None
    from fnmatch import fnmatchcase

    from pytest_triton.repository.layout import list_models

    names = [model.name for model in list_models(repository)]
    chosen = tuple(name for name in names if fnmatchcase(name, pattern))
    if not chosen:
        raise ToolError(
            f"--triton-models {pattern!r} selects no model of {repository}",
            f"the models are {', '.join(names) or 'none'}",
        )
    return chosen


@contextmanager
def launch(
    settings: Settings,
    *,
    tolerant: bool = False,
    progress: Progress | None = None,
    shared: Mapping[str, Any] | None = None,
    log_path: Path | None = None,
) -> Iterator[Deployment]:
    """The server that the settings ask for, for the length of the block.

    ``tolerant``: models that do not load are named in ``Deployment.failed`` instead of
    raising DeploymentFailed. ``shared``: what pytest-xdist's controller says, so that all
    workers share one server. Raises ToolError for what the machine lacks.
    """
    require(settings)
    if settings.kind == "endpoint":
        from pytest_triton.launch.attach import attach

        assert settings.url is not None
        yield attach(
            settings.url,
            grpc_url=settings.grpc_url,
            metrics_url=settings.metrics_url,
            headers=settings.headers,
        )
        return
    if shared:
        from pytest_triton.launch.shared import lease

        yield lease(
            shared,
            lambda lifeline: spec_of(
                settings, progress=progress, log_path=log_path, lifeline=lifeline
            ),
            tolerant=tolerant,
            progress=progress,
        )
        return
    from pytest_triton.launch.embedded import embedded

    spec = spec_of(settings, progress=progress, log_path=log_path)
    with embedded(spec, tolerant=tolerant, progress=progress) as deployment:
        yield deployment
