"""The sandbox alone: what a program in it can see, do and take."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.load.scripts.confined import scrub
from pytest_triton.load.scripts.running import bounded
from pytest_triton.sandbox import bubblewrap
from pytest_triton.sandbox.active import VARIABLE, active
from pytest_triton.sandbox.bubblewrap import Bounds, Sandbox, find, python_reads
from pytest_triton.sandbox.outside import clean, outside

#: What an intruder tries, each as an expression; it prints what came of them as JSON.
TRIES = {
    "passwd": "open('/etc/passwd').read()",
    "shadow": "open('/etc/shadow').read()",
    "secret": "open(SECRET).read()",
    "homes": "os.listdir('/root')",
    "etc": "open('/etc/pytest-triton-was-here','w')",
    "usr": "open('/usr/pytest-triton-was-here','w')",
    "input": "open(INPUT,'a').write('x')",
    "beside": "open(os.path.join(os.path.dirname(INPUT),'new'),'w')",
    "tmp": "open('/tmp/pytest-triton-was-here','w').write('x')",
    "outside": "socket.create_connection(('192.0.2.1', 80), timeout=2)",
    "interfaces": "[name for _, name in socket.if_nameindex()]",
    "processes": "[int(name) for name in os.listdir('/proc') if name.isdigit()]",
    "kill": "os.kill(JUDGE, 0)",
    "user": "[os.getuid(), os.geteuid(), os.getgid(), os.getgroups()]",
    "root": "os.setuid(0)",
    "chroot": "os.chroot('/')",
    "device": "os.mknod('/tmp/pytest-triton-was-a-device', 0o60600, os.makedev(254, 0))",
    "mount": "CDLL.mount(b'none', os.path.dirname(INPUT).encode(), b'tmpfs', 0, 0) or 'mounted'",
    "capabilities": "[l for l in open('/proc/self/status') if l.startswith(('Cap', 'NoNewPrivs'))]",
    "environment": "dict(os.environ)",
    "memory": "open(f'/proc/{JUDGE}/mem','rb')",
    "hostname": "socket.gethostname()",
    "sockets": "open('/proc/net/unix').read().count(chr(10))",
}
CODE = """
import ctypes, json, os, socket, sys
SECRET, INPUT, JUDGE = sys.argv[1], sys.argv[2], int(sys.argv[3])
LIBC = ctypes.CDLL(None, use_errno=True)
class CDLL:
    @staticmethod
    def mount(*arguments):
        if LIBC.mount(*arguments):
            raise OSError(ctypes.get_errno(), "mount")
found = {}
for name, what in json.loads(sys.argv[4]).items():
    try:
        found[name] = ["ok", eval(what)]
    except BaseException as error:
        found[name] = ["no", f"{type(error).__name__}: {error}"]
print(json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return find()


#: What may be tried where it succeeds: of the others, root would change this machine.
HARMLESS = ("passwd", "secret", "input", "beside", "kill", "tmp")


def attempts(
    command: Callable[[list[str]], list[str]], tmp_path: Path, names: Iterable[str] = TRIES
) -> dict[str, list]:  # type: ignore[type-arg]
    secret, given = tmp_path / "judge" / "key", tmp_path / "given" / "model.pt"
    for path in (secret, given):
        path.parent.mkdir(exist_ok=True)
        path.write_text("k")
    program = [sys.executable, "-I", "-S", "-c", CODE, str(secret), str(given), str(os.getpid()),
               json.dumps({name: TRIES[name] for name in names})]  # fmt: skip
    done = subprocess.run(command(program), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert given.read_text() in ("k", "kx")
    return json.loads(done.stdout)


def test_what_is_kept_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """As root and as anybody: nothing to read, to write, to reach, to signal or to become."""
    os.environ["SECRET_TOKEN"] = "s"

    def boxed(program: list[str]) -> list[str]:
        inner = sandbox.command(
            program, env={"PATH": "/usr/bin:/bin", "GIVEN": "1"},
            reads=[tmp_path / "given", *python_reads(), sys.prefix],
        )  # fmt: skip
        return outside(sandbox, inner)

    found = attempts(boxed, tmp_path)
    del os.environ["SECRET_TOKEN"]
    for name in ("passwd", "shadow", "secret", "etc", "usr", "input", "beside", "outside", "kill",
                 "root", "chroot", "device", "mount", "memory"):  # fmt: skip
        assert found[name][0] == "no", (name, found[name])
    assert found["tmp"][0] == "ok"  # its own
    assert not Path("/tmp/pytest-triton-was-here").exists()
    assert found["interfaces"] == ["ok", ["lo"]]
    assert max(found["processes"][1]) < 20
    user = found["user"][1]
    assert user[0] == user[1] >= 1000
    assert 0 not in (user[2], *user[3])
    lines = dict(line.split() for line in found["capabilities"][1])
    assert {lines[f"Cap{kind}:"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
    assert lines["NoNewPrivs:"] == "1"
    assert set(found["environment"][1]) <= {"PATH", "GIVEN", "HOME", "PWD", "LC_CTYPE"}
    assert found["hostname"] == ["ok", "submission"]
    assert found["sockets"] == ["ok", 1]  # the heading alone
    assert found["homes"][0] == "no" or ".ssh" not in found["homes"][1]


def test_without_it_the_same_attempts_succeed(tmp_path: Path) -> None:
    """Or the test above could not fail."""
    found = attempts(lambda program: program, tmp_path, HARMLESS)
    Path("/tmp/pytest-triton-was-here").unlink()
    for name in HARMLESS:
        assert found[name][0] == "ok", found[name]


def test_the_judge_shares_loopback_and_nothing_else(sandbox: Sandbox) -> None:
    """A server in a sandbox answers the judge; a port of this machine is not there."""
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        port = ours.getsockname()[1]
        serve = "import socket;s=socket.socket();s.bind(('127.0.0.1',8000));s.listen();s.accept()"
        inner = sandbox.command(
            [sys.executable, "-I", "-S", "-c", serve], env={}, reads=[*python_reads(), sys.prefix]
        )
        judge = (
            "import json,socket,subprocess,sys,time\n"
            "p=subprocess.Popen(json.loads(sys.argv[1]),env={})\n"
            "end=time.monotonic()+20\n"
            "while time.monotonic()<end:\n"
            "    try: socket.create_connection(('127.0.0.1',8000)).close(); print('served'); break\n"
            "    except OSError: time.sleep(.05)\n"
            "try: socket.create_connection(('127.0.0.1',int(sys.argv[2]))); print('open')\n"
            "except OSError: print('shut')\n"
            "p.kill()\n"
        )
        command = outside(
            sandbox, [sys.executable, "-I", "-S", "-c", judge, json.dumps(inner), str(port)]
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["served", "shut"], done.stderr


def _run(sandbox: Sandbox, code: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    command = sandbox.command(
        [sys.executable, "-I", "-S", "-c", code], env={}, reads=[*python_reads(), sys.prefix]
    )
    return subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, env={}
    )


def bounded_by(sandbox: Sandbox, **bounds: int) -> Sandbox:
    return Sandbox(sandbox.bwrap, sandbox.root, Bounds(**bounds).filled())


def test_a_fork_bomb_stops_at_the_limit(sandbox: Sandbox) -> None:
    """RLIMIT_NPROC holds: as root too, for there the user is a real one."""
    bomb = (
        "import os,time\n"
        "made=0\n"
        "while made<2000:\n"
        "    try:\n"
        "        if os.fork()==0: time.sleep(600)\n"
        "        made+=1\n"
        "    except OSError as error:\n"
        "        print(made,error.errno,flush=True); break\n"
        "else: print('unbounded')\n"
    )
    done = _run(bounded_by(sandbox, processes=100), bomb)
    made, error = done.stdout.split()
    assert 50 <= int(made) <= 100
    assert error == "11"
    time.sleep(0.2)
    assert not [p for p in psutil.process_iter() if _has(p, "os.fork()==0")]


def _has(process: psutil.Process, text: str) -> bool:
    try:
        return any(text in word for word in process.cmdline())
    except psutil.Error:
        return False


def test_memory_files_and_processor_time_are_bounded(sandbox: Sandbox) -> None:
    small = bounded_by(sandbox, memory=512 << 20, file_size=1 << 20, scratch=8 << 20)
    hog = "x=[]\nwhile 1: x.append(b'1'*(16<<20))"
    assert "MemoryError" in _run(small, hog).stderr
    large = "f=open('/tmp/a','wb')\nwhile 1: f.write(b'1'*65536)"
    assert _run(small, large).returncode in (1, 128 + 25, 153)
    many = (
        "n=0\n"
        "while 1:\n"
        "    open(f'/tmp/{n}','wb').write(b'1'*(1<<20)); n+=1\n"
    )  # fmt: skip
    assert "No space left" in _run(small, many).stderr
    command = sandbox.command(
        [sys.executable, "-I", "-S", "-c", "while 1: pass"], env={}, seconds=1,
        reads=[*python_reads(), sys.prefix],
    )  # fmt: skip
    assert subprocess.run(command, timeout=30, check=False, env={}).returncode != 0


def test_it_ends_with_its_owner(sandbox: Sandbox) -> None:
    """Also what left its session and ignores signals."""
    code = (
        "import os,signal,time\n"
        "signal.signal(signal.SIGTERM,signal.SIG_IGN)\n"
        "if os.fork()==0:\n"
        "    os.setsid(); signal.signal(signal.SIGHUP,signal.SIG_IGN)\n"
        "print('up',flush=True); time.sleep(601)\n"
    )
    command = sandbox.command(
        [sys.executable, "-I", "-S", "-c", code], env={}, reads=[*python_reads(), sys.prefix]
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={})
    assert process.stdout is not None
    process.stdout.readline()
    assert [p for p in psutil.process_iter() if _has(p, "time.sleep(601)")]
    process.kill()
    process.wait(10)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while left := [p for p in psutil.process_iter() if _has(p, "time.sleep(601)")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


# -- where it is not to be had ------------------------------------------------------------------


def test_without_bubblewrap_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    bubblewrap.find.cache_clear()
    monkeypatch.setenv(VARIABLE, "bubblewrap")
    with pytest.raises(ToolError, match="bubblewrap is not installed") as caught:
        active()
    assert "apt-get install bubblewrap" in caught.value.remedy
    assert "--sandbox none" in caught.value.remedy


def test_a_bubblewrap_that_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2; exit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    bubblewrap.find.cache_clear()
    with pytest.raises(ToolError, match="No permissions to create a new namespace"):
        find()
    bubblewrap.find.cache_clear()


@pytest.mark.parametrize("value", ["Bubblewrap", "yes", "docker"])
def test_a_word_that_nobody_knows_is_no_sandbox_at_all(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ToolError, match="is "):
        active()


def test_none_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "none"):
        monkeypatch.setenv(VARIABLE, value)
        assert active() is None


def test_the_judges_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    monkeypatch.setenv("PYTEST_PLUGINS", "evil")
    monkeypatch.setenv("PYTHONPATH", "/submission")
    monkeypatch.setenv("PYTEST_TRITON_WAIVERS", "/submission/waivers.toml")
    env = clean({"A": "1"}, tmp_path)
    told = {name for name in env if name.startswith(("PYTEST", "PYTHON"))} - {"PYTEST_TRITON_CACHE"}
    assert told == {"PYTEST_DISABLE_PLUGIN_AUTOLOAD"}
    assert (env["A"], env["TMPDIR"]) == ("1", str(tmp_path))


# -- scripts ------------------------------------------------------------------------------------


def test_a_script_is_run_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "bubblewrap")
    script = tmp_path / "given" / "check.sh"
    script.parent.mkdir()
    script.write_text(
        "cat /etc/passwd 2>&1; id -u; echo x > made && echo written; env | grep -c TOKEN\n"
    )
    monkeypatch.setenv("TOKEN", "1")
    ended = bounded(["sh", str(script)], deadline_s=20, directory=script.parent)
    lines = ended.output.splitlines()
    assert "No such file" in lines[0]
    assert int(lines[1]) >= 1000
    assert lines[2:] == ["written", "0"]


def test_what_a_script_leaves_is_files(tmp_path: Path) -> None:
    """A link that it makes would lead the judge, who reads its results, to other files."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "result.json").symlink_to("/etc/passwd")
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "wait.csv")
    (tmp_path / "kept.csv").write_text("1")
    scrub(tmp_path)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")} == {"deep", "kept.csv"}


def test_a_script_beside_a_large_model_repository(tmp_path: Path) -> None:
    """The script is run all the same: what it gets of the models is their configuration."""
    model = tmp_path / "given" / "model_repository" / "large"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text("max_batch_size: 8")
    with (model / "1" / "model.pt").open("wb") as file:
        file.truncate(1 << 30)
    script = tmp_path / "given" / "check.sh"
    script.write_text("cat model_repository/large/config.pbtxt; ls model_repository/large/1")
    ended = bounded(["sh", str(script)], deadline_s=20, directory=script.parent)
    assert (ended.status, ended.output) == (0, "max_batch_size: 8")
