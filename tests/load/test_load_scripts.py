"""A load-test script is bounded, and what it says of itself is read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pytest_triton.load.scripts import cage, copying, running
from pytest_triton.load.scripts.running import NoLocust, Ran, Target, TooLarge, command_of, ran
from pytest_triton.load.scripts.told import told

TARGET = Target("http://127.0.0.1:1", "127.0.0.1:2", "mlp", 10, 1)


@contextmanager
def run(directory: Path, text: str, name: str = "loadtest.py") -> Iterator[Ran]:
    (directory / name).write_text(text)
    with ran(directory, directory / name, TARGET) as found:
        yield found


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that a test waits for."""
    monkeypatch.setattr(running, "OVERHEAD_S", 0.5)


def test_it_is_told_where_and_how_much_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_TRITON_HEADER", "Authorization: secret")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    (tmp_path / "beside.txt").write_text("data")
    text = (
        "import os, pathlib, sys\n"
        "print(sorted(os.environ.items()), sys.argv[1:], os.getcwd())\n"
        "print(pathlib.Path('beside.txt').read_text(), os.getsid(0) == os.getpid())\n"
        "pathlib.Path('made.txt').write_text('x')\n"
    )
    with run(tmp_path, text) as found:
        assert found.status == 0, found.stderr
        assert "secret" not in found.stdout
        assert "PYTEST" not in found.stdout
        for name, value in TARGET.environment.items():
            assert f"('{name}', '{value}')" in found.stdout
        assert "[] " in found.stdout  # no arguments: it does not speak of them
        assert "data True" in found.stdout
        assert (found.directory / "made.txt").is_file()
        kept = found.directory
    assert not kept.exists()
    assert not (tmp_path / "made.txt").exists()


def test_arguments_for_who_takes_them(tmp_path: Path) -> None:
    with run(tmp_path, "import sys; print(sys.argv[1:])  # --url\n") as found:
        assert "'--url', 'http://127.0.0.1:1'" in found.stdout
        assert "'--users', '10', '--duration', '1'" in found.stdout
    with run(tmp_path, '#!/bin/sh\necho "$MODEL $*"; exit 3\n', "loadtest.sh") as found:
        assert (found.stdout, found.status) == ("mlp \n", 3)


def test_a_deadline_ends_it_and_all_that_it_started(tmp_path: Path, soon: None) -> None:
    text = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(60)\n"
        "        os._exit(0)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    started = time.monotonic()
    with run(tmp_path, text) as found:
        assert (found.status, found.stopped) == (None, "deadline")
        assert "it had not ended after" in found.fault
        assert found.stdout.strip().isdigit()
    assert time.monotonic() - started < 20
    assert not _running(str(found.directory))


def test_what_runs_on_is_ended_and_told(tmp_path: Path) -> None:
    text = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n"
    with run(tmp_path, text) as found:
        assert (found.status, found.left) == (0, 1)
        assert found.fault == "1 processes ran on after it ended"
    assert not _running(str(found.directory))


def test_a_fork_bomb_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(cage.__file__).read_text().replace("PROCESSES = 256", "PROCESSES = 20")
    (tmp_path / "cage.py").write_text(source)
    monkeypatch.setattr(running, "_CAGE", tmp_path / "cage.py")
    text = "import os, time\nfor _ in range(7):\n    os.fork()\ntime.sleep(60)\n"  # 128 in all
    (tmp_path / "in").mkdir()
    with run(tmp_path / "in", text) as found:
        assert found.stopped == "processes"
    assert not _running(str(found.directory))


def test_too_much_output_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_BYTES", 1 << 20)
    many = "import time\nfor n in range(9):\n    open(str(n), 'wb').write(bytes(1 << 18))\ntime.sleep(60)\n"
    with run(tmp_path, many) as found:
        assert found.stopped == "bytes"
    with run(tmp_path, "while True: print('x' * 1000)\n") as found:
        assert found.status not in (0, None)  # the system refuses to let a file grow
        assert len(found.stdout) <= 1 << 20


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_MEMORY", 1 << 30)
    with run(tmp_path, "bytearray(2 << 30)\n") as found:
        assert "MemoryError" in found.stderr


def test_it_ends_its_supervisor(tmp_path: Path) -> None:
    text = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)\n"
    with run(tmp_path, text) as found:
        assert found.fault == "it ended its supervisor"
    assert not _running(str(found.directory))


def test_it_ends_with_who_asked(tmp_path: Path) -> None:
    """The judge is killed: the script does not run on."""
    (tmp_path / "loadtest.py").write_text("import time\nopen('up', 'w').close()\ntime.sleep(60)\n")
    program = (
        "import sys; from pathlib import Path\n"
        "from pytest_triton.load.scripts.running import Target, ran\n"
        f"d = Path({str(tmp_path)!r})\n"
        "with ran(d, d / 'loadtest.py', Target('', '', 'm', 1, 30)): pass\n"
    )
    judge = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    try:
        assert _within(15, lambda: list(tmp_path.glob("*/own/up")))
    finally:
        judge.kill()
        judge.wait()
    assert _within(15, lambda: not _running(str(tmp_path)))


def _within(seconds: float, condition) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def _running(below: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(below) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_what_is_too_large_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MOST_FILES", 3)
    for n in range(4):
        (tmp_path / str(n)).touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(TooLarge, match="or 3 files"):
        copying.copy(tmp_path, tmp_path.parent / "copy")
    (tmp_path / "3").unlink()
    copied = copying.copy(tmp_path, tmp_path.parent / "other")
    assert sorted(path.name for path in copied) == ["0", "1", "2"]


def test_a_locustfile_needs_locust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locustfile.py").touch()
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoLocust, match=r"pip install 'pytest-triton\[locust\]'"):
        command_of(tmp_path / "locustfile.py", TARGET, strict=False)


SUMMARY = """
Type     Name             # reqs      # fails |    Avg     Min     Max    Med |   req/s  failures/s
POST     /v2/models/mlp       812     2(0.25%) |     49       9     252     45 |  180.32        0.44
         Aggregated           812     2(0.25%) |     49       9     252     45 |  180.32        0.44
         Aggregated            45     50     54     58     69     76    100    180    250    812
"""
PERF_ANALYZER = """
Request concurrency: 4
  Client:
    Request count: 500
Request concurrency: 8
  Client:
    Request count: 700
"""
OURS = (
    '[{"concurrency": 4, "requests": 90, "errors": 1, "duration_s": 1, "throughput_rps": 90, '
    '"latency_us": {}}, {"concurrency": 12, "requests": 95, "errors": 0, "duration_s": 1, '
    '"throughput_rps": 95, "latency_us": {}}]'
)
HISTORY = "Timestamp,User Count,Type,Name,x\n" + "".join(f"{n},{n},,A,0\n" for n in range(12))


@pytest.mark.parametrize(
    ("stdout", "files", "expected"),
    [
        ("hello", {}, None),
        ("requests: 120\nerrors: 3\nusers: 10\n", {}, (120, 3, 10, 1)),
        ("requests: 50\nusers: 2\nrequests: 120\nusers: 4\n", {}, (120, 0, 4, 2)),
        ("I sent requests: many\nMore requests: 5 than\n", {}, None),
        (SUMMARY, {"r_stats_history.csv": HISTORY}, (812, 2, 11, 11)),
        ("", {"r_stats.csv": "Type,Name,Request Count,Failure Count\n,Aggregated,7,1\n"},
         (7, 1, 0, 0)),
        (PERF_ANALYZER, {}, (1200, 0, 8, 2)),
        (OURS, {}, (185, 1, 12, 2)),
        ("", {"result.json": OURS, "other.json": "{}"}, (185, 1, 12, 2)),
    ],
)  # fmt: skip
def test_counts_are_read(
    tmp_path: Path, stdout: str, files: dict[str, str], expected: tuple[int, ...] | None
) -> None:
    (tmp_path / "given_stats.csv").write_text("Type,Name,Request Count,Failure Count\n")
    given = frozenset(tmp_path.iterdir())  # what was handed in is no result
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = told(Ran(0, "", 1.0, 0, stdout, "", tmp_path, given))
    got = found and (found.requests, found.errors, found.users, found.levels)
    assert got == expected
