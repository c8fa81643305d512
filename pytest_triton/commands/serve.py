"""``pytest-triton serve``: a real Triton in the foreground."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pytest_triton.deployment import Deployment
    from pytest_triton.launch.supervised import Supervised

HTTP_PORT = 8000
_INFRASTRUCTURE = 12
#: Seconds between two looks at the server's log.
_LOOK = 0.05
#: Bytes of log kept in the file once they are on standard error.
_MAX_LOG = 64 * 1024 * 1024


class _Serve(click.Command):
    """What follows ``--`` goes to tritonserver as it is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["flags"] = args[:at], tuple(args[at + 1 :])
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- SERVER FLAGS]"]


@click.command(name="serve", cls=_Serve)
@click.argument("repository", required=False, type=click.Path(path_type=Path))
@click.option("--http-port", type=int, help=f"Default {HTTP_PORT}.")
@click.option("--grpc-port", type=int, help="Default: the one after HTTP's.")
@click.option("--metrics-port", type=int, help="Default: the one after that.")
@click.option("--release", envvar="PYTEST_TRITON_SERVER_RELEASE", help="Default 24.10.")
@click.option("--device", type=click.Choice(["cpu", "gpu", "auto"]), default="auto")
@click.option("--server-python", type=click.Path(path_type=Path), help="For Python models.")
@click.option("--boot-timeout", type=float, default=120.0, show_default=True, help="Seconds.")
@click.pass_context
def command(
    ctx: click.Context,
    repository: Path | None,
    http_port: int | None,
    grpc_port: int | None,
    metrics_port: int | None,
    release: str | None,
    device: str,
    server_python: Path | None,
    boot_timeout: float,
) -> None:
    """Serve REPOSITORY (default: the reference repository) until SIGTERM or Ctrl-C.

    Listens on the loopback interface; the server's own log goes to standard error.
    """
    from pytest_triton.launch.embedded import ServerSpec, boot
    from pytest_triton.launch.store import DEFAULT_RELEASE, find_server

    find_server(release or DEFAULT_RELEASE)  # before an export that could be in vain
    http = http_port or HTTP_PORT
    grpc = grpc_port or http + 1
    spec = ServerSpec(
        repository=repository or _reference(),
        release=release or DEFAULT_RELEASE,
        device=device,
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics_port or grpc + 1,
        boot_timeout=boot_timeout,
        server_args=ctx.meta.get("flags", ()),
        python=server_python,
        kind="repository" if repository else "reference",
        grace=30.0,
    )
    asked = _Asked()
    with ExitStack() as stack:
        log = _Log()
        stack.callback(log.close)
        deployment, supervisor = boot(spec, stack, tolerant=True, progress=_say, started=log.follow)
        asked.booting = False
        _announce(deployment)
        status = _wait(supervisor, asked)
        # The end of the server runs before the rest of its log is copied.
        supervisor.stop()
        log.close()
    if status is not None:
        _say(f"the server ended by itself, status {status}")
        raise SystemExit(_INFRASTRUCTURE)


class _Asked:
    """SIGTERM and SIGINT: they end a boot at once and then are a flag; twice, they end a stop."""

    def __init__(self) -> None:
        self.stop = False
        self.booting = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: Any) -> None:
        if self.booting or self.stop:
            raise SystemExit(128 + number)
        self.stop = True


def _wait(supervisor: Supervised, asked: _Asked) -> int | None:
    """The exit status of a server that ended unasked; None when the end was asked for."""
    while not asked.stop:
        supervisor.wait(0.2)
        if supervisor.exit_status is not None or supervisor.stopped:
            return supervisor.exit_status if supervisor.exit_status is not None else -1
    return None


def _say(text: str) -> None:
    click.echo(text, err=True)


def _reference() -> Path:
    from pytest_triton.repository.reference import reference_repository

    path: Path = reference_repository(progress=_say)
    return path


def _announce(deployment: Deployment) -> None:
    """Where it listens, on standard output: the line a script waits for."""
    places = [deployment.http_url]
    if deployment.grpc_url:
        places.append(f"grpc {deployment.grpc_url}")
    if deployment.metrics_url:
        places.append(f"metrics {deployment.metrics_url}")
    for name, reason in deployment.failed.items():
        _say(f"model {name} is not served: {reason}")
    seconds = deployment.boot["ready"]
    serving = ", ".join(deployment.serving) or "no model"
    click.echo(f"ready in {seconds:.1f} s · {' · '.join(places)} · {serving}")
    sys.stdout.flush()


class _Log:
    """Copies the server's log to standard error, also what it says while it ends."""

    def __init__(self) -> None:
        self._file = -1
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, path: Path) -> None:
        """Copy this file from its beginning."""
        self.close()
        # Kept open: the file goes with the server, its last lines do not.
        self._file = os.open(path, os.O_RDWR)
        self._done.clear()
        self._thread = threading.Thread(target=self._copy, name="server log", daemon=True)
        self._thread.start()

    def _copy(self) -> None:
        copied = 0
        while True:
            last = self._done.is_set()
            while piece := os.read(self._file, 1 << 16):
                os.write(2, piece)
                copied += len(piece)
            if last:
                return
            if copied > _MAX_LOG:
                os.ftruncate(self._file, 0)
                copied = os.lseek(self._file, 0, os.SEEK_SET)
            time.sleep(_LOOK)

    def close(self) -> None:
        """Copy the rest."""
        if self._thread is not None:
            self._done.set()
            self._thread.join(10)
            self._thread = None
            os.close(self._file)
