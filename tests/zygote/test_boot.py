"""Stubs from a zygote, in real servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import RequestFailed

from .conftest import FEW, MODELS, RELEASES, Boot, Models, X, family, named, stubs, with_zygote

FELL_BACK = "pytest-triton: ordinary Python stub for"


def answers(deployment: Deployment, models: Models) -> None:
    probe = HttpProbe(deployment.http_url)
    for name in deployment.models:
        got = probe.infer(name, {"INPUT__0": X})["OUTPUT__0"]
        np.testing.assert_allclose(got, models.answers[name], rtol=1e-5, atol=1e-6)


def wait_for(true: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@pytest.mark.parametrize("release", RELEASES)
def test_eight_models_answer_rightly(release: str, boot: Boot, models: Models) -> None:
    with boot(release) as deployment:
        answers(deployment, models)
        assert len(stubs(deployment)) == MODELS
        assert len(named(deployment, "triton_zygote")) == 1
        assert len(named(deployment, "triton_zygote_t")) == 1
        processes = family(deployment)
        assert FELL_BACK not in deployment.log_text()
    assert not [process for process in processes if process.is_running()]


def test_switched_off(boot: Boot, models: Models) -> None:
    with boot(few=True, PYTEST_TRITON_ZYGOTE="0") as deployment:
        answers(deployment, models)
        assert not stubs(deployment)
        assert FELL_BACK not in deployment.log_text()


def test_whatever_is_amiss_ends_in_the_ordinary_stub(
    boot: Boot, models: Models, tmp_path: Path
) -> None:
    backends = with_zygote("24.10", tmp_path / "backends")
    manifest = backends / "python" / "zygote" / "graft.json"
    manifest.write_text(manifest.read_text().replace('"finalize"', '"initializer"'))
    with boot(backends=backends, few=True) as deployment:
        answers(deployment, models)
        assert not stubs(deployment)
        lines = [line for line in deployment.log_text().splitlines() if FELL_BACK in line]
        assert "tiny_0_0_0: KeyError" in " ".join(lines)


def test_an_interpreter_that_does_not_run(boot: Boot, models: Models, tmp_path: Path) -> None:
    backends = with_zygote("24.10", tmp_path / "backends")
    shutil.copy("/bin/false", backends / "python" / "zygote" / "interpreter")
    with boot(backends=backends, few=True) as deployment:
        answers(deployment, models)
        assert "the zygote ended" in deployment.log_text()


def test_unload_ends_the_stub_and_load_brings_another(boot: Boot, models: Models) -> None:
    with boot() as deployment:
        probe = HttpProbe(deployment.http_url)
        before = {process.pid for process in stubs(deployment)}
        probe.unload("tiny_3")
        wait_for(lambda: len(stubs(deployment)) == MODELS - 1)
        assert not probe.model_ready("tiny_3")
        probe.load("tiny_3")
        wait_for(lambda: len(stubs(deployment)) == MODELS)
        assert len(before - {process.pid for process in stubs(deployment)}) == 1
        answers(deployment, models)


def test_a_killed_stub_takes_its_launcher_along(boot: Boot, models: Models) -> None:
    with boot() as deployment:
        probe = HttpProbe(deployment.http_url)
        launchers = {p.pid for p in psutil.Process(deployment.pid).children()}
        os.kill(stubs(deployment)[0].pid, signal.SIGKILL)
        left = lambda: [p for p in launchers if alive(p)]  # noqa: E731
        wait_for(lambda: len(left()) == MODELS - 1)
        broken = []
        for name, expected in models.answers.items():
            try:
                got = probe.infer(name, {"INPUT__0": X}, timeout=20)["OUTPUT__0"]
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
            except RequestFailed:
                broken.append(name)
        assert len(broken) <= 1
        if broken:
            probe.unload(broken[0])
            wait_for(lambda: not probe.model_ready(broken[0]))
            probe.load(broken[0])
        answers(deployment, models)


def test_a_killed_launcher_takes_its_stub_along(boot: Boot, models: Models) -> None:
    with boot() as deployment:
        before = stubs(deployment)
        server = psutil.Process(deployment.pid)
        launcher = next(p for p in server.children() if "launcher.py" in " ".join(p.cmdline()))
        os.kill(launcher.pid, signal.SIGKILL)
        wait_for(lambda: sum(alive(process.pid) for process in before) == MODELS - 1, 2.0)


def test_models_outlive_the_zygote_and_get_a_new_one(boot: Boot, models: Models) -> None:
    with boot() as deployment:
        probe = HttpProbe(deployment.http_url)
        for zygote in named(deployment, "triton_zygote"):
            os.kill(zygote.pid, signal.SIGKILL)
        wait_for(lambda: not named(deployment, "triton_zygote_t"))
        answers(deployment, models)
        probe.unload("tiny_5")
        wait_for(lambda: len(stubs(deployment)) == MODELS - 1)
        probe.load("tiny_5")
        answers(deployment, models)
        assert len(named(deployment, "triton_zygote")) == 1
        assert FELL_BACK not in deployment.log_text()


_ALONE = """
import subprocess, sys
from pathlib import Path
from pytest_triton.launch.command import command_line, server_environment
from pytest_triton.launch.overlay import overlay
from pytest_triton.launch.ports import reserve
from pytest_triton.launch.store import find_server
repository, backends, directory = map(Path, sys.argv[1:4])
server, interpreter = find_server("24.10"), overlay()
(directory / "tmp").mkdir(parents=True)
with reserve(None, None, None, ()) as ports:
    argv = command_line(server, repository=repository, backends=backends, ports=ports,
        models=sorted(p.name for p in repository.iterdir()), region=sys.argv[4], complete=True)
    env = server_environment(server, interpreter, directory, device="cpu")
    server = subprocess.Popen(argv, env=env, stderr=open(directory / "log", "wb"))
    print(server.pid, ports.http, flush=True)
    sys.exit(server.wait())
"""


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_sigkill_of_an_unsupervised_server_leaves_no_process(
    models: Models, tmp_path: Path, releases: object
) -> None:
    """Without our supervisor: the processes have to go by themselves."""
    backends = with_zygote("24.10", tmp_path / "backends")
    region = f"triton_python_backend_shm_region_zygote{os.getpid()}_"
    mark = str(backends)
    with subprocess.Popen(
        [sys.executable, "-c", _ALONE, str(models.repository), mark, str(tmp_path / "d"), region],
        stdout=subprocess.PIPE, text=True,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        pid, port = map(int, owner.stdout.readline().split())
        try:
            probe = HttpProbe(f"http://127.0.0.1:{port}")
            wait_for(lambda: connected(probe) and all(map(probe.model_ready, models.answers)), 60)
            started = ours(mark)
            assert len(started) >= 2 * MODELS + 3  # stubs, launchers, two zygotes, the server
        finally:
            os.kill(pid, signal.SIGKILL)
        owner.wait(20)
    wait_for(lambda: not ours(mark), 10.0)
    for name in os.listdir("/dev/shm"):
        if name.startswith(region):
            os.unlink(f"/dev/shm/{name}")


def connected(probe: HttpProbe) -> bool:
    try:
        return probe.live()
    except Exception:
        return False


def ours(mark: str) -> list[int]:
    """Processes whose command line or program lies in the backend directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [pid for pid in found if pid != os.getpid()]


_SELF = """
import json, locale, os, signal, sys, warnings
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        import numpy, torch
        line = next(line for line in open("/proc/self/status") if line.startswith("SigIgn"))
        # Triton starts some ordinary stubs with SIGQUIT ignored, and others not.
        ignored = int(line.split()[1], 16)
        ours = ("SHLVL", "_", "PYTEST_TRITON_ZYGOTE", "TMPDIR", "TOLD", "PWD", "OLDPWD")
        told = {
            "flags": str(sys.flags), "path": sys.path, "argv": sys.argv, "x": sys._xoptions,
            "executable": sys.executable, "prefix": sys.prefix, 
            "cwd": os.path.realpath(os.getcwd()) == os.path.realpath(os.environ["PWD"]),
            "environment": {k: v for k, v in os.environ.items() if k not in ours},
            "encodings": [sys.getfilesystemencoding(), locale.getpreferredencoding(False),
                sys.stdout.encoding, sys.stdout.line_buffering, sys.stderr.line_buffering,
                locale.setlocale(locale.LC_CTYPE), locale.setlocale(locale.LC_NUMERIC)],
            "warnings": [str(f) for f in warnings.filters], "name": open("/proc/self/comm").read(),
            "main": hasattr(sys.modules["__main__"], "__file__"),
            "status": [line.strip() for line in open("/proc/self/status") if line.startswith(
                ("Umask", "SigBlk", "SigCgt", "Cpus_allowed", "NoNewPrivs"))],
            "ignored": ignored & ~(1 << signal.SIGQUIT - 1),
            "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
            "parallel": torch.__config__.parallel_info(),
            "streams": [os.readlink(f"/proc/self/fd/{n}").rpartition("/")[2] for n in (0, 1, 2)],
            "extra": [name for name in ("graft", "zygote", "launcher") if name in sys.modules],
        }
        random = [numpy.random.random(), __import__("random").random(), torch.rand(1).item()]
        with open(os.path.join(os.environ["TOLD"], args["model_name"]), "w") as file:
            json.dump([told, random], file)

    def execute(self, requests):
        return []
"""


def test_a_forked_stub_is_like_an_ordinary_one(
    boot: Boot, tmp_path: Path, releases: object
) -> None:
    backends = with_zygote("24.10", tmp_path / "backends")
    shutil.rmtree(backends / "pytorch")
    (backends / "pytorch").mkdir()
    (backends / "pytorch" / "model.py").write_text(_SELF)
    told = {}
    for kind in ("1", "0"):
        here = tmp_path / kind
        here.mkdir()
        with boot(
            backends=backends, few=True, PYTEST_TRITON_ZYGOTE=kind, LANG="C.UTF-8", TOLD=str(here)
        ):
            told[kind] = [json.loads(path.read_text()) for path in sorted(here.iterdir())]
        assert len(told[kind]) == len(FEW)
    assert told["1"][0][0] == told["0"][0][0]
    assert len({value for _, random in told["1"] for value in random}) == 3 * len(FEW)
