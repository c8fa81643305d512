"""Models that mean harm, served by a real tritonserver in the sandbox: each is harmless."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.errors import DeploymentFailed
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ConnectionFailed, RequestFailed
from pytest_triton.sandbox.active import VARIABLE

CONFIG = """
backend: "python"
max_batch_size: 0
input [ { name: "X" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_STRING dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
#: Evaluates what a request says: whatever a submission could think of.
EVALUATES = """
import ctypes, json, os, socket, sys
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()[0].decode()
            try:
                told = ["ok", eval(x)]
            except BaseException as error:
                told = ["no", f"{type(error).__name__}: {error}"]
            y = np.array([json.dumps(told, default=str)], dtype=object)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]))
        return answers
"""
INITIALIZES = """
import os, sys, time


class TritonPythonModel:
    def initialize(self, args):
{code}

    def execute(self, requests):
        return []
"""
PLAIN = """
name: "{name}"
backend: "python"
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""


@pytest.fixture(autouse=True)
def _in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "bubblewrap")


def write(repository: Path, name: str, code: str, config: str = "") -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config or PLAIN.format(name=name))
    (repository / name / "1" / "model.py").write_text(code)


def initializing(code: str) -> str:
    return INITIALIZES.format(code="\n".join(f"        {line}" for line in code.splitlines()))


def spec(repository: Path, **fields: Any) -> ServerSpec:
    return ServerSpec(repository=repository, device="cpu", auto_complete=False,
                      **{"boot_timeout": 60.0, **fields})  # fmt: skip


def gone(text: str) -> None:
    """No process with this in its command line is left."""
    deadline = time.monotonic() + 15
    while left := [p.pid for p in psutil.process_iter() if _has(p, text)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _has(process: psutil.Process, text: str) -> bool:
    try:
        return any(text in word for word in process.cmdline())
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    repository = tmp_path_factory.mktemp("repository")
    write(repository, "evil", EVALUATES, CONFIG)
    os.environ[VARIABLE] = "bubblewrap"
    os.environ["GRADER_TOKEN"] = "secret"
    try:
        with embedded(spec(repository)) as deployment:
            yield deployment
    finally:
        del os.environ[VARIABLE], os.environ["GRADER_TOKEN"]
    gone(str(repository))


Try = Callable[[str], list[Any]]


@pytest.fixture
def attempt(served: Deployment) -> Iterator[Try]:
    with HttpProbe(served.http_url) as http:

        def ask(what: str) -> list[Any]:
            answer = http.infer("evil", {"X": np.array([what], dtype=object)})
            (text,) = answer.outputs["Y"]
            told: list[Any] = json.loads(text)
            return told

        yield ask


def test_the_model_works_at_all(attempt: Try) -> None:
    assert attempt("40 + 2") == ["ok", 42]


@pytest.mark.parametrize(
    "what",
    [
        "open('/etc/passwd').read()",
        "open('/etc/shadow').read()",
        "open(REPORT).read()",
        "open(MODEL, 'a').write('x')",
        "open(os.path.join(os.path.dirname(MODEL), 'new'), 'w')",
        "open('/usr/bin/pytest-triton-was-here', 'w')",
        "os.kill(JUDGE, 9)",
        "os.setuid(0)",
        "open(f'/proc/{JUDGE}/environ').read()",
    ],
)
def test_what_it_may_not(attempt: Try, served: Deployment, tmp_path: Path, what: str) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    assert served.repository is not None
    told = {
        "REPORT": repr(str(report)),
        "MODEL": repr(str(served.repository / "evil" / "1" / "model.py")),
        "JUDGE": str(os.getpid()),
    }
    for name, value in told.items():
        what = what.replace("{" + name + "}", value).replace(name, value)
    assert attempt(what)[0] == "no"
    assert report.read_text() == "{}"
    assert (served.repository / "evil" / "1" / "model.py").read_text() == EVALUATES


def test_what_it_sees(attempt: Try) -> None:
    environment = attempt("dict(os.environ)")[1]
    assert "GRADER_TOKEN" not in environment
    assert not [name for name in environment if name.startswith("PYTEST_TRITON_SANDBOX")]
    assert attempt("os.getuid()")[1] >= 1000
    assert max(attempt("[int(n) for n in os.listdir('/proc') if n.isdigit()]")[1]) < 1000
    assert attempt("[l for l in open('/proc/self/status') if l.startswith('CapEff')]")[1] == [
        "CapEff:\t0000000000000000\n"
    ]


def test_its_temporary_files_stay_inside(attempt: Try) -> None:
    assert attempt("open('/tmp/pytest-triton-was-here', 'w').write('1')") == ["ok", 1]
    assert not Path("/tmp/pytest-triton-was-here").exists()


def test_a_model_that_sleeps_holds_nobody_up(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write(repository, "sleeper", EVALUATES, CONFIG)
    with embedded(spec(repository)) as deployment:
        with HttpProbe(deployment.http_url, timeout=3.0) as http:
            sleep = {"X": np.array(["__import__('time').sleep(1e6)"], dtype=object)}
            began = time.monotonic()
            with pytest.raises(ConnectionFailed, match="no whole answer"):
                http.infer("sleeper", sleep)
            assert time.monotonic() - began < 10
        began = time.monotonic()
    assert time.monotonic() - began < 20
    gone(str(repository))


def test_a_model_that_never_gets_ready(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write(repository, "sleeper", initializing("time.sleep(1e6)"))
    began = time.monotonic()
    with pytest.raises(DeploymentFailed), embedded(spec(repository, boot_timeout=8.0)):
        pass
    assert time.monotonic() - began < 30
    gone(str(repository))


def test_a_fork_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the processes of its sandbox, and nobody else's."""
    monkeypatch.setenv(f"{VARIABLE}_PROCESSES", "200")
    repository = tmp_path / "repository"
    bomb = (
        "import signal\n"
        "for n in range(1, 32):\n"
        "    if n not in (9, 17, 19): signal.signal(n, signal.SIG_IGN)\n"
        "while True:\n"
        "    try: os.fork()\n"
        "    except OSError: time.sleep(0.01)\n"
    )
    write(repository, "bomb", initializing(bomb))
    seen, over = [], threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            seen.append(sum(_has(each, str(repository)) for each in psutil.process_iter()))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with pytest.raises(DeploymentFailed), embedded(spec(repository, boot_timeout=8.0)):
            pass
    finally:
        over.set()
        looking.join()
    assert 50 < max(seen) <= 205  # it went off, up to the limit; bubblewrap's own come on top
    # this machine still starts processes, and none of those is left
    assert os.waitstatus_to_exitcode(os.system("true")) == 0
    gone(str(repository))


def test_a_memory_hog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its processes stays below the limit of one; together they do not stay."""
    monkeypatch.setenv(f"{VARIABLE}_MEMORY", str(1536 << 20))
    repository = tmp_path / "repository"
    hog = (
        "for n in range(8):\n"
        "    if os.fork() == 0:\n"
        "        kept = [b'1' * (8 << 20) for n in range(60)]\n"
        "        time.sleep(1e6)\n"
        "time.sleep(1e6)\n"
    )
    write(repository, "hog", initializing(hog))
    log = tmp_path / "server.log"
    with (
        pytest.raises(DeploymentFailed),
        embedded(spec(repository, boot_timeout=30.0, log_path=log)),
    ):
        pass
    assert "sandbox: ended, for it took over 1536 MiB" in log.read_text(errors="replace")
    gone(str(repository))


def test_one_that_fills_its_disk(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    fill = "f = open('/tmp/a', 'wb')\nwhile True: f.write(b'1' * (1 << 20))"
    write(repository, "filler", initializing(fill))
    with embedded(spec(repository), tolerant=True) as deployment:
        assert "filler" in deployment.failed


TORCH = {
    # What the host's file says would be the answer.
    "reads": "return torch.from_file('/etc/passwd', False, 16, dtype=torch.uint8).to(torch.float32)",
    # shared: the file is made where it is not, and written to.
    "writes": "made = torch.from_file('{mark}', True, 16, dtype=torch.uint8).fill_(65)\n"
    "        return made.to(torch.float32)",
}


@pytest.mark.parametrize("kind", TORCH)
def test_torchscript(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    mark = tmp_path / "mark"
    mark.touch(mode=0o666)
    repository = tmp_path / "repository"
    (repository / "evil" / "1").mkdir(parents=True)
    source = tmp_path / "evil.py"
    body = TORCH[kind].format(mark=mark)
    source.write_text(
        "import torch\n\n\nclass Evil(torch.nn.Module):\n"
        f"    def forward(self, x: torch.Tensor) -> torch.Tensor:\n        {body}\n"
    )
    module = importlib.util.spec_from_file_location("evil", source)
    assert module is not None
    assert module.loader is not None
    loaded = importlib.util.module_from_spec(module)
    module.loader.exec_module(loaded)
    torch.jit.script(loaded.Evil()).save(str(repository / "evil" / "1" / "model.pt"))
    (repository / "evil" / "config.pbtxt").write_text(
        'platform: "pytorch_libtorch"\nmax_batch_size: 0\n'
        'input [ { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 16 ] } ]\n'
        'output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 16 ] } ]\n'
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )
    with embedded(spec(repository)) as deployment, HttpProbe(deployment.http_url) as http:
        with pytest.raises(
            RequestFailed, match=r"unable to open|No such file|Permission|Read-only"
        ):
            http.infer("evil", {"INPUT__0": np.zeros(16, np.float32)})
    assert mark.read_bytes() == b""
