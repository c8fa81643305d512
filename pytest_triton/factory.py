"""More servers in one session, each ended with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.deployment import Deployment
from pytest_triton.own_models import (
    BROKEN,
    CONTROLLED,
    CUSTOM,
    CUSTOM_CONFIG,
    FAILING,
    write_disposable,
    write_polled,
)
from pytest_triton.probe_set import SERVER_FLAGS, write_probes
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    from pytest_triton.launch.supervised import Supervised
    from pytest_triton.subject import Subject

#: First release whose --model-config-name was tried (23.10 has no such flag).
CUSTOM_CONFIG_SINCE = "24.07"
#: Seconds between two looks of a server that polls its repository; less than 1 is not possible.
POLL_SECONDS = 1


class ServerFactory:
    """``factory(repository, models=None, **fields of ServerSpec)`` boots a server of its own."""

    def __init__(self, settings: Settings, scratch: Path, progress: Callable[[str], None]) -> None:
        self._settings = settings
        self._scratch = scratch
        self._progress = progress
        self._servers: dict[str, tuple[Deployment, ExitStack, Supervised]] = {}
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
        from pytest_triton.launch.embedded import ServerSpec, boot

        self._count += 1
        spec = ServerSpec(
            repository=Path(repository),
            models=models,
            release=self._settings.server_release,
            device=self._settings.device,
            boot_timeout=self._settings.boot_timeout,
            python=self._settings.server_python,
            log_path=self._scratch / f"server-{self._count}.log",
        )
        stack = ExitStack()
        try:
            deployment, supervised = boot(
                replace(spec, **fields), stack, tolerant=tolerant, progress=self._tell
            )
        except BaseException:
            stack.close()
            raise
        self._servers[deployment.http_url] = (deployment, stack, supervised)
        return deployment

    def _tell(self, text: str) -> None:
        self._progress(f"{text}, one more server")

    def stop(self, deployment: Deployment) -> None:
        """End one of the servers now."""
        _, stack, _ = self._servers.pop(deployment.http_url)
        stack.close()

    def terminate(self, deployment: Deployment, *, timeout: float) -> tuple[int | None, float]:
        """SIGTERM to tritonserver; its exit status (None: still running) and the seconds."""
        began = time.monotonic()
        self.send(deployment, signal.SIGTERM)
        status = self.ended(deployment, timeout=timeout)
        seconds = time.monotonic() - began
        self.stop(deployment)
        return status, seconds

    def send(self, deployment: Deployment, number: signal.Signals) -> None:
        """A signal to the process of one of the servers; what it leaves stays until :meth:`stop`."""
        assert deployment.pid is not None
        os.kill(deployment.pid, number)

    def ended(self, deployment: Deployment, *, timeout: float) -> int | None:
        """Wait for the end of a server; its exit status, None when it still runs.

        Below 0: the signal that ended it. Its processes, regions and directory are there until
        :meth:`stop`.
        """
        _, _, supervised = self._servers[deployment.http_url]
        deadline = time.monotonic() + timeout
        while supervised.exit_status is None and not supervised.stopped:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            supervised.wait(min(left, 0.5))
        return supervised.exit_status

    def processes(self, deployment: Deployment) -> list[int]:
        """Every process of one of the servers, also those that it left behind when it ended."""
        from pytest_triton.launch.supervisor import descendants

        _, _, supervised = self._servers[deployment.http_url]
        return descendants(supervised.process.pid)

    def smallest(self, deployment: Deployment) -> Deployment:
        """A server of ours with the smallest model of another one, to be ended by the caller."""
        assert deployment.repository is not None
        return self(deployment.repository, (smallest_model(deployment),))

    def disposable(self, deployment: Deployment) -> tuple[Deployment, str]:
        """A server for clauses that leave a trace, and the name of the subject's model on it.

        Beside the smallest model of ``deployment`` it has those of
        :func:`~pytest_triton.own_models.write_disposable`.
        """
        from pytest_triton.repository.config import is_complete
        from pytest_triton.served import disk_config

        assert deployment.repository is not None
        model = smallest_model(deployment)
        repository = self._scratch / f"disposable-{self._count}"
        write_disposable(repository, deployment.repository / model)
        # The broken model is no reason for the launcher to try again with auto-complete.
        complete = is_complete(disk_config(repository / model))
        release = deployment.release or ""
        named = release[:1].isdigit() and release >= CUSTOM_CONFIG_SINCE
        flags = (f"--model-config-name={CUSTOM_CONFIG}",) if named else ()
        auto = False if complete else None
        return self(repository, tolerant=True, auto_complete=auto, server_args=flags), model

    def probes(self) -> Deployment:
        """A server of ours with the probe models and nothing else."""
        repository = write_probes(self._scratch / f"probes-{self._count}")
        return self(repository, auto_complete=False, server_args=SERVER_FLAGS)

    def polled(self) -> tuple[Deployment, Path]:
        """A server that polls its repository, which holds models of ours, and that repository."""
        repository = self._scratch / f"polled-{self._count}"
        write_polled(repository)
        flags = ("--model-control-mode=poll", f"--repository-poll-secs={POLL_SECONDS}")
        return self(repository, auto_complete=False, server_args=flags), repository

    def __enter__(self) -> ServerFactory:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as everything:
            for server in self._servers.values():
                everything.push(server[1])
            self._servers.clear()


@dataclass(frozen=True, slots=True)
class Disposable:
    """A server of ours that may be left in any state; its models are in own_models."""

    subject: Subject
    model: str
    broken: str = BROKEN
    failing: str = FAILING
    #: Under both of these names ``tell`` of :mod:`~pytest_triton.reloading` gets an answer.
    controlled: str = CONTROLLED
    custom: str = CUSTOM


def smallest_model(deployment: Deployment, among: Collection[str] | None = None) -> str:
    """The serving model that loads fastest: of the Python backend, then the fewest bytes.

    Ensembles need others, and decoupled models a stream: they are left out. ``among``: only of
    these.
    """
    from pytest_triton.repository.config import backend_of
    from pytest_triton.served import disk_config

    assert deployment.repository is not None
    sizes = []
    for name in deployment.serving:
        if among is not None and name not in among:
            continue
        directory = deployment.repository / name
        config = disk_config(directory)
        if config.platform != "ensemble" and not config.model_transaction_policy.decoupled:
            size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
            sizes.append((backend_of(config) != "python", size, name))
    if not sizes:
        from pytest_triton.criteria import NotAssessed, Reason

        raise NotAssessed(Reason.BLOCKED, "no model can be served alone on a second server")
    return min(sizes)[2]
