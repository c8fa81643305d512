"""Stands in for tritonserver: starts the real one, and misbehaves as a file says.

Run by the script that :mod:`faulty.servers` puts into a private server store. The file is
named by ``TRITON_FAULT``; without it the real server runs untouched.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

_PORTS = ("http", "grpc", "metrics")
_PDEATHSIG = 1
#: Seconds for which a process that is left behind listens on a port, and between its tries.
_SQUATS, _TRY = 60.0, 0.01
_SHM = Path("/dev/shm")
#: Flags of TLS with certificates of both sides, which the proxy speaks in the server's place.
_TLS = ("grpc-server-cert", "grpc-server-key", "grpc-root-cert")
_USE_TLS = ("grpc-use-ssl", "grpc-use-ssl-mutual")
#: Settings of traces: where spans go, and the file.
_COLLECTOR, _FILE = "--trace-config=opentelemetry,url=", "--trace-config=triton,file="


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


def main(real: str, arguments: list[str]) -> None:
    """Become the real server, or something like it."""
    named = os.environ.get("TRITON_FAULT")
    if not named:
        os.execv(real, [real, *arguments])
    fault: dict[str, Any] = json.loads(Path(named).read_text())
    if not re.search(fault["only"], " ".join(arguments)):
        os.execv(real, [real, *arguments])
    if fault["skip"] and _earlier(Path(named)) < fault["skip"]:
        os.execv(real, [real, *arguments])
    for line in fault["log"]:
        print(line, file=sys.stderr, flush=True)
    if fault["start"] == "exit":
        sys.exit(1)
    if fault["start"] == "hang":
        signal.pause()
        sys.exit(0)
    time.sleep(fault["delay"])
    if fault["repository"]:
        arguments = _with(arguments, "model-repository", fault["repository"])
    if fault["rewrite"]:
        served = _value(arguments, "model-repository")
        rewritten = _rewritten(Path(served), Path(named).parent, fault["rewrite"])
        arguments = _with(arguments, "model-repository", str(rewritten))
    arguments = [
        argument
        for argument in arguments
        if argument.removeprefix("--").partition("=")[0] not in fault["remove"]
    ] + fault["add"]
    if fault["leaves"] == "listener" and os.fork() == 0:
        _squat(int(_value(arguments, "http-port")))
    if fault["leaves"] == "connections":
        arguments = _relayed(arguments)
    stays = fault["rules"] or fault["traces"] or fault["leaves"] == "region"
    if not stays and fault["sigterm"] == "":
        os.execv(real, [real, *arguments])
    sys.exit(_stay(real, arguments, fault))


def _stay(real: str, arguments: list[str], fault: dict[str, Any]) -> int:
    """Run the real server as a child, perhaps behind a proxy; its exit status."""
    proxy: list[str] = []
    if fault["rules"]:
        arguments, proxy = _hide(arguments)
    traces = None
    if fault["traces"]:
        traces = _Traces(arguments, fault["traces"])
        arguments = traces.arguments
    child = subprocess.Popen([real, *arguments], preexec_fn=_die_with_parent)
    regions: list[Path] = []

    def ended(number: int, frame: object) -> None:
        if fault["sigterm"] == "ignore":
            return
        if fault["leaves"] == "region":
            regions.extend(_SHM.glob(f"{_region(arguments)}*"))
        child.send_signal(signal.SIGKILL if fault["sigterm"] == "drop" else number)

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    helper = None
    if proxy:
        rules = Path(os.environ["TRITON_FAULT"]).with_suffix(f".{os.getpid()}.rules")
        rules.write_text(json.dumps(fault["rules"]))
        told = rules.with_suffix(".told")
        env = {**os.environ, "PYTHONPATH": fault["machinery"]}
        env.pop("LD_LIBRARY_PATH", None)
        helper = subprocess.Popen(
            [fault["python"], "-m", "faulty.proxy", *proxy, "--rules", str(rules),
             "--told", str(told)],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=_die_with_parent,
        )  # fmt: skip
    status = child.wait()
    if traces:
        traces.end()
    if helper:
        assert helper.stdin is not None
        helper.stdin.close()
        try:
            helper.wait(5)
        except subprocess.TimeoutExpired:
            helper.kill()
    for region in regions:
        region.touch()
    if fault["sigterm"] == "drop":
        return 0
    if isinstance(fault["sigterm"], int):
        return fault["sigterm"]
    return status if status >= 0 else 128 - status


class _Traces:
    """Files of traces that the server writes elsewhere, handed on with changes."""

    def __init__(self, arguments: list[str], changes: list[tuple[str, str]]) -> None:
        self._changes = changes
        self._asked = Path(
            next(each for each in arguments if each.startswith(_FILE)).removeprefix(_FILE)
        )
        self._hidden = Path(os.environ["TRITON_FAULT"]).parent / f"{os.getpid()}.traces"
        self._hidden.mkdir()
        self._done: set[str] = set()
        self._over = threading.Event()
        self.arguments = [
            f"{_FILE}{self._hidden / self._asked.name}" if each.startswith(_FILE) else each
            for each in arguments
        ]
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The server is gone: hand on what is left."""
        self._over.set()
        self._thread.join()
        self._hand_on()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._hand_on()

    def _hand_on(self) -> None:
        for path in sorted(self._hidden.iterdir()):
            text = path.read_text()
            if path.name in self._done or not (text.rstrip().endswith("]") or self._over.is_set()):
                continue
            self._done.add(path.name)
            for pattern, replacement in self._changes:
                text = re.sub(pattern, replacement, text)
            made = self._asked.with_name(f"made.{path.name}")
            made.write_text(text)
            made.rename(self._asked.with_name(path.name))


def _hide(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The server on ports of its own, and the proxy's arguments for the ports asked for."""
    proxy = []
    for name in _PORTS:
        prefix = f"--{name}-port="
        asked = next((a.removeprefix(prefix) for a in arguments if a.startswith(prefix)), None)
        if asked is None:
            continue
        port = _free_port()
        arguments = _with(arguments, f"{name}-port", port)
        address = f"127.0.0.1:{port}"
        proxy += [f"--{name}", address if name == "grpc" else f"http://{address}",
                  f"--{name}-port", asked]  # fmt: skip
    for at, argument in enumerate(arguments):
        if argument.startswith(_COLLECTOR):
            upstream = argument.removeprefix(_COLLECTOR)
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            arguments = [*arguments]
            arguments[at] = f"{_COLLECTOR}http://127.0.0.1:{port}/{upstream.split('/', 3)[3]}"
            proxy += ["--otlp", upstream, "--otlp-port", str(port)]
    if all(f"--{name}=true" in arguments for name in _USE_TLS):
        told = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
        proxy += ["--grpc-tls", *(told[name] for name in _TLS)]
        arguments = [
            argument
            for argument in arguments
            if argument.removeprefix("--").partition("=")[0] not in (*_TLS, *_USE_TLS)
        ]
    return arguments, proxy


def _rewritten(repository: Path, beside: Path, changes: list[list[str]]) -> Path:
    """A copy of a repository whose configurations are changed; a change of none is an error."""
    copy = Path(tempfile.mkdtemp(dir=beside)) / repository.name
    shutil.copytree(repository, copy)
    for pattern, replacement in changes:
        count = 0
        for config in copy.glob("*/config.pbtxt"):
            text, found = re.subn(pattern, replacement, config.read_text())
            config.write_text(text)
            count += found
        if not count:
            sys.exit(f"the stand-in finds no {pattern!r} to rewrite")
    return copy


def _earlier(named: Path) -> int:
    """How many servers of this fault were started before this one."""
    started = named.with_suffix(".started")
    with started.open("a") as file:
        file.write(".")
    return started.stat().st_size - 1


def _squat(port: int) -> None:
    """Take over a port when the server that listens on it is gone; never returns."""
    os.setsid()
    until = time.monotonic() + _SQUATS
    seen = False
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while time.monotonic() < until:
            time.sleep(_TRY)
            try:
                if not seen:
                    socket.create_connection(("127.0.0.1", port), 1.0).close()
                    seen = True
                taken.bind(("127.0.0.1", port))
                taken.listen()
                break
            except OSError:
                continue
        time.sleep(max(0.0, until - time.monotonic()))
    os._exit(0)


def _relayed(arguments: list[str]) -> list[str]:
    """The server's arguments behind a gateway that keeps its clients when the server is gone."""
    port = _free_port()
    relay = str(Path(__file__).with_name("relay.py"))
    subprocess.Popen(
        [sys.executable, "-I", "-S", relay, _value(arguments, "http-port"), port],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return _with(arguments, "http-port", port)


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _region(arguments: list[str]) -> str:
    """What the names of the server's shared memory regions begin with."""
    word = "shm-region-prefix-name="
    return next(a.partition(word)[2] for a in arguments if word in a)


def _value(arguments: list[str], name: str) -> str:
    return next(a.partition("=")[2] for a in arguments if a.startswith(f"--{name}="))


def _with(arguments: list[str], name: str, value: str) -> list[str]:
    prefix = f"--{name}="
    return [f"{prefix}{value}" if a.startswith(prefix) else a for a in arguments]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
