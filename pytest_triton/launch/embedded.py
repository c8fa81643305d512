"""Boot a real tritonserver on this machine: no Docker, no root, loopback only."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pytest_triton.deployment import Deployment, Kind
from pytest_triton.errors import Misused
from pytest_triton.launch.backends import backend_directory
from pytest_triton.launch.boxed import boxed
from pytest_triton.launch.command import command_line, server_environment, traces
from pytest_triton.launch.complete import GRACE
from pytest_triton.launch.diagnose import BackendCrashed, PortTaken, Story
from pytest_triton.launch.machine import require_device, require_shm
from pytest_triton.launch.overlay import overlay
from pytest_triton.launch.ports import HOST, reserve
from pytest_triton.launch.ready import wait_ready
from pytest_triton.launch.regions import region_prefix
from pytest_triton.launch.remembered import screen_remembered
from pytest_triton.launch.store import DEFAULT_RELEASE, find_server
from pytest_triton.launch.supervised import Supervised
from pytest_triton.repository.names import unsafe
from pytest_triton.sandbox.active import active

Progress = Callable[[str], None]
#: Boots at most, where somebody else took a port meanwhile, or the Python backend crashed.
_ATTEMPTS = 3


@dataclass(frozen=True)
class ServerSpec:
    """What to boot, and how."""

    #: The model repository; served where it is, never written to.
    repository: Path
    #: The models to load; None: every one that the repository holds.
    models: tuple[str, ...] | None = None
    #: "24.10", "24.07", "23.10", or "system" for this machine's own tritonserver.
    release: str = DEFAULT_RELEASE
    #: "cpu", "gpu" or "auto".
    device: str = "auto"
    #: None: a free port.
    http_port: int | None = None
    grpc_port: int | None = None
    metrics_port: int | None = None
    #: Seconds until every model has to be ready.
    boot_timeout: float = 120.0
    #: Flags for tritonserver; they win over ours.
    server_args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Headers that every request has to carry: the keys of restricted APIs.
    headers: tuple[tuple[str, str], ...] = ()
    #: The Python for Python models; None: the one that runs this.
    python: Path | None = None
    #: Where the server logs (what was there is replaced); None: a file that goes with it.
    log_path: Path | None = None
    kind: Kind = "repository"
    #: A FIFO whose other end somebody else holds: the server lives as long as that.
    lifeline: Path | None = None
    #: False: off; True: on, Triton's default; None: off only where every configuration is
    #: known to be complete, which spares every Python model a second start.
    auto_complete: bool | None = None
    #: Seconds that a stop gives requests and models to finish; None: what the models need,
    #: which is nothing when none of them has anything to finish.
    grace: float | None = None


@contextmanager
def embedded(
    spec: ServerSpec, *, tolerant: bool = False, progress: Progress | None = None
) -> Iterator[Deployment]:
    """A booted server for the length of the block.

    Every expected model is ready then, or DeploymentFailed is raised with the reason;
    ``tolerant``: models that failed are only named in ``Deployment.failed``. Raises ToolError
    when the machine lacks something.
    """
    with ExitStack() as stack:
        yield boot(spec, stack, tolerant=tolerant, progress=progress)[0]


def boot(
    spec: ServerSpec,
    stack: ExitStack,
    *,
    tolerant: bool = False,
    progress: Progress | None = None,
    started: Callable[[Path], None] | None = None,
) -> tuple[Deployment, Supervised]:
    """Boot a server whose end is pushed on ``stack``; also its supervisor, for orders.

    ``started`` is called with the path of the log whenever a server has been started.
    """
    attempt = _Attempt(spec, progress or (lambda _: None), started or (lambda _: None))
    for left in reversed(range(_ATTEMPTS)):
        with ExitStack() as attempted:
            try:
                booted = attempt.run(attempted, tolerant=tolerant)
            except (PortTaken, BackendCrashed) as error:
                if not left:
                    raise
                taken = isinstance(error, PortTaken)
                why = "on other ports: another process took one" if taken else error.message
                attempt.say(f"booting again, {why}")
                continue
            if booted is None:
                # A model failed. Completing could have helped it, and errors read differently.
                attempt.complete = False
                attempt.say("booting again, with auto-complete as by default: a model failed")
                continue
            stack.push(attempted.pop_all())
            return booted
    raise AssertionError("unreachable")


class _Attempt:
    """One boot, repeated when something came in between."""

    def __init__(self, spec: ServerSpec, say: Progress, started: Callable[[Path], None]) -> None:
        self.spec, self.say, self.started = spec, say, started
        self.entered = time.monotonic()
        #: False: auto-complete is left on, whatever the configurations are.
        self.complete = spec.auto_complete is not True

    def _grace(self, needed: float) -> float:
        if self.spec.grace is not None:
            return self.spec.grace
        return GRACE if traces(self.spec.server_args) else needed

    def run(self, stack: ExitStack, *, tolerant: bool) -> tuple[Deployment, Supervised] | None:
        """None: a model failed that auto-complete, switched off here, could have saved."""
        spec = self.spec
        # The supervisor first: it starts up while everything else is prepared here.
        supervisor = stack.enter_context(Supervised())
        repository = Path(spec.repository).expanduser().absolute()
        if not repository.is_dir():
            raise Misused(f"{spec.repository} is not a directory", "name a model repository")
        server = find_server(spec.release)
        device = require_device(spec.device)
        interpreter = overlay(spec.python, progress=self.say)
        backends = backend_directory(server, interpreter)
        screened = screen_remembered(repository, spec.models)
        identity = uuid.uuid4().hex[:12]
        directory = run_directory(identity)
        log = spec.log_path.expanduser().absolute() if spec.log_path else directory / "server.log"
        if spec.log_path:  # of this very boot: SET-04 judges what the server wrote
            log.parent.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
        alias = directory / "repository" if unsafe(repository) else None
        story = Story(
            log=log,
            kept=spec.log_path,
            repository=repository,
            version=server.version,
            timeout=spec.boot_timeout,
            alias=alias,
        )
        if screened.failed and not tolerant:
            raise story.failed(screened.failed)
        require_shm(len(screened.models))
        complete = self.complete and (screened.complete or spec.auto_complete is False)
        region = region_prefix(
            server.version,
            repository,
            screened.models,
            identity,
            stack,
            timeout=spec.boot_timeout,
            progress=self.say,
        )
        ports = stack.enter_context(
            reserve(spec.http_port, spec.grpc_port, spec.metrics_port, spec.server_args)
        )
        argv = command_line(
            server,
            repository=alias or repository,
            backends=backends,
            ports=ports,
            models=screened.models,
            region=region,
            complete=complete,
            extra=spec.server_args,
        )
        env = server_environment(
            server, interpreter, directory, device=spec.device, extra=spec.environment
        )
        sandbox = active()
        if sandbox is not None:
            argv = boxed(
                sandbox, argv, env, server=server, overlay=interpreter, backends=backends,
                repository=repository, alias=alias, python=spec.python, device=device,
                added=spec.environment, flags=spec.server_args,
            )  # fmt: skip
            env = {"PATH": os.defpath}
        where = f"embedded, {device.upper()}" + (", in a sandbox" if sandbox else "")
        self.say(f"booting Triton {server.version or server.release}, {where}")
        prepared = time.monotonic()
        deadline = prepared + spec.boot_timeout
        pid = supervisor.start(
            argv=argv,
            env=env,
            log=log,
            directory=directory,
            region=region,
            link=repository if alias else None,
            memory=sandbox.bounds.memory if sandbox else 0,
            lifeline=spec.lifeline,
            grace=self._grace(screened.grace),
            deadline=deadline,
        )
        self.started(log)
        failures = wait_ready(
            supervisor,
            ports,
            screened.models,
            deadline=deadline,
            story=story,
            headers=spec.headers,
        )
        ready = time.monotonic()
        ports.release()
        if failures and complete and spec.auto_complete is None:
            return None
        if failures and not tolerant:
            raise story.failed(failures)
        supervisor.ready = True
        deployment = Deployment(
            kind=spec.kind,
            http_url=f"http://{HOST}:{ports.http}",
            grpc_url=f"{HOST}:{ports.grpc}" if ports.grpc else None,
            metrics_url=f"http://{HOST}:{ports.metrics}/metrics" if ports.metrics else None,
            owned=True,
            release=server.release,
            repository=repository,
            models=screened.expected,
            failed={**screened.failed, **failures},
            log_path=log,
            headers=spec.headers,
            pid=pid,
            boot={
                "prepare": prepared - self.entered,
                "start": ready - prepared,
                "ready": ready - self.entered,
            },
            device=device,
        )
        return deployment, supervisor


def run_directory(identity: str) -> Path:
    """Where one server keeps what goes with it; a path that its stubs can be started with."""
    parent = Path(tempfile.gettempdir())
    return (Path("/tmp") if unsafe(parent) else parent) / f"pytest-triton-{os.getuid()}-{identity}"
