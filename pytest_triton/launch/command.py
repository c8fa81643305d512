"""tritonserver's command line and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_triton.launch.overlay import Overlay
from pytest_triton.launch.ports import HOST, Ports
from pytest_triton.launch.store import Server

#: Flags that may be given several times, so that ours stand beside the caller's.
_REPEATABLE = frozenset({"backend-config", "load-model", "model-repository"})


def command_line(
    server: Server,
    *,
    repository: Path,
    backends: Path,
    ports: Ports,
    models: Sequence[str],
    region: str,
    complete: bool,
    extra: Sequence[str] = (),
) -> list[str]:
    """Arguments of tritonserver, the program first; the caller's flags replace ours.

    ``region``: begins the name of every shared memory region, so that the supervisor knows
    its own (one setting covers every Python-based backend); "" keeps Triton's default.
    ``complete``: no configuration needs to be completed.
    """
    ours: list[tuple[str, str]] = [
        ("model-repository", str(repository)),
        ("backend-directory", str(backends)),
        ("cache-directory", str(server.caches)),
        ("http-address", HOST),
        ("grpc-address", HOST),
        ("metrics-address", HOST),
        ("http-port", str(ports.http)),
        *([("grpc-port", str(ports.grpc))] if ports.grpc else []),
        *([("metrics-port", str(ports.metrics))] if ports.metrics else []),
        ("exit-on-error", "false"),
        ("strict-readiness", "true"),
        # Loads mostly wait: for a stub to start, and a second in every auto-completion.
        ("model-load-thread-count", str(max(4, min(16, len(models))))),
        *([("backend-config", f"python,shm-region-prefix-name={region}")] if region else []),
    ]
    given = {flag.removeprefix("--").partition("=")[0] for flag in extra if flag.startswith("--")}
    if "model-control-mode" not in given and "load-model" not in given:
        ours.append(("model-control-mode", "explicit"))
        ours += [("load-model", name) for name in models]
    elif "model-control-mode" not in given:
        ours.append(("model-control-mode", "explicit"))
    line = [str(server.binary)]
    line += [
        f"--{name}={value}" for name, value in ours if name in _REPEATABLE or name not in given
    ]
    if complete and not given & {"disable-auto-complete-config", "strict-model-config"}:
        line.append("--disable-auto-complete-config")
    return [*line, *extra]


def server_environment(
    server: Server,
    overlay: Overlay,
    directory: Path,
    *,
    device: str,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment of tritonserver and its stubs."""
    env = dict(os.environ)
    # A virtual environment or a PYTHONHOME of ours would lead the stub's Python astray.
    for name in ("PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"):
        env.pop(name, None)
    for name in [name for name in env if name.startswith("PYTEST_")]:
        if name != "PYTEST_TRITON_ZYGOTE":
            del env[name]
    libraries = [str(path) for path in (*server.libraries, overlay.library)]
    if inherited := env.get("LD_LIBRARY_PATH"):
        libraries.append(inherited)
    env["LD_LIBRARY_PATH"] = ":".join(libraries)
    env["PATH"] = f"{overlay.bin}:{env.get('PATH', os.defpath)}"
    env["TMPDIR"] = str(directory / "tmp")
    if device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    env.update(extra or {})
    return env


def traces(flags: Sequence[str]) -> bool:
    """Do these flags make the server write a file that is complete only after a clean end?"""
    return any(flag.startswith(("--trace-", "--log-file")) for flag in flags)
