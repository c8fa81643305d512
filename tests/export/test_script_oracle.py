"""A TorchScript file tells its answers out of a box, and does no harm whatever it tries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pytest_triton.export import frames
from pytest_triton.export.oracle import ReferenceRefused
from pytest_triton.export.sandbox import MAX_PROCESSES, Box, Boxed, find_box, interpreter
from pytest_triton.export.script_oracle import NoReference, ReferenceFailed, ScriptReference
from pytest_triton.repository.reference import python_path

torch = pytest.importorskip("torch")
stranger_modules = pytest.importorskip("stranger_modules")

Save = Callable[..., Path]
ROWS = {"X__0": np.arange(6, dtype=np.float32).reshape(2, 3)}
ALLOWED = {"Y__0": (1e-3, 1e-5)}
CONFIG: dict[str, Any] = {
    "name": "stranger",
    "max_batch_size": 4,
    "input": [{"name": "X__0", "data_type": "TYPE_FP32", "dims": [3]}],
    "output": [{"name": "Y__0", "data_type": "TYPE_FP32", "dims": [3]}],
}


@pytest.fixture(params=["bubblewrap", "limits"])
def box(request: pytest.FixtureRequest) -> Box:
    if request.param == "limits":
        return Box()
    found = find_box()
    if not found.bwrap:
        pytest.skip(found.why)
    return found


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Script a module into the file of a model's only version."""

    def write(name: str, *arguments: str) -> Path:
        path = tmp_path / "stranger" / "1" / "model.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        module = getattr(stranger_modules, name)(*arguments)
        torch.jit.script(module).save(str(path))
        return path

    return write


def gone(pids: set[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while left := {pid for pid in pids if _alive(pid)}:
        if time.monotonic() > deadline:
            print(left)
            return False
        time.sleep(0.02)
    return True


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class Stranger(ScriptReference):
    """Its child is any Python program."""

    def __init__(self, code: str, box: Box) -> None:
        super().__init__(box, start_timeout=8.0, timeout=2.0)
        self.code = code

    def program(self, descriptor: int) -> list[str]:
        return [interpreter(), "-I", "-S", "-c", self.code]


def test_it_answers_and_refuses(box: Box, save: Save) -> None:
    file = save("Double")
    with ScriptReference(box) as reference:
        outputs = reference.run(file, CONFIG, ROWS, ALLOWED)
        np.testing.assert_array_equal(outputs["Y__0"], ROWS["X__0"] * 2)
        assert reference._boxed is not None
        pid = reference._boxed.process.pid
        with pytest.raises(ReferenceRefused, match="no input 'X__0'"):
            reference.run(file, CONFIG, {}, ALLOWED)
        again = reference.run(file, CONFIG, {"X__0": ROWS["X__0"][:1]}, ALLOWED)
        assert again["Y__0"].shape == (1, 3)
        assert reference._boxed.process.pid == pid, "a refusal cost a process"
    assert gone({pid})
    assert "torch" not in reference.box.name


@pytest.mark.parametrize("module", ["Writes", "WritesEarly"])
def test_no_file_is_written(box: Box, tmp_path: Path, save: Save, module: str) -> None:
    """Not even an empty one, and what is there stays; a module can try it while it is loaded."""
    target, kept = tmp_path / "written.bin", tmp_path / "kept.txt"
    kept.write_text("mine")
    for name in (target, kept):
        try:
            file = save(module, str(name))
        finally:
            if name is kept:
                kept.write_text("mine")
            else:
                target.unlink(missing_ok=True)
        with ScriptReference(box) as reference:
            np.testing.assert_array_equal(
                reference.run(file, CONFIG, ROWS, ALLOWED)["Y__0"], ROWS["X__0"]
            )
    assert not target.exists()
    assert kept.read_text() == "mine"


def test_no_file_is_read(box: Box, save: Save) -> None:
    with ScriptReference(box) as reference:
        with pytest.raises(ReferenceFailed, match="wants a file"):
            reference.run(save("Reads"), CONFIG, ROWS, ALLOWED)


def test_what_loops_has_a_deadline_and_is_not_asked_again(box: Box, save: Save) -> None:
    file = save("Hangs")
    with ScriptReference(box, timeout=1.0) as reference:
        with pytest.raises(ReferenceFailed, match="did not answer within 1 s") as caught:
            reference.run(file, CONFIG, ROWS, ALLOWED)
        assert "--triton-inputs" in caught.value.remedy
        assert reference._boxed is None
        with pytest.raises(ReferenceFailed, match="did not answer within 1 s"):
            reference.run(file, CONFIG, ROWS, ALLOWED)
        assert reference._boxed is None, "it was started again"


def test_what_allocates_without_end_has_a_limit(box: Box, save: Save) -> None:
    with ScriptReference(box, memory=1 << 30) as reference:
        with pytest.raises(ReferenceFailed, match="needs more memory than a reference gets"):
            reference.run(save("Greedy"), CONFIG, ROWS, ALLOWED)


def test_random_answers_are_no_reference(box: Box, save: Save) -> None:
    with ScriptReference(box) as reference:
        with pytest.raises(NoReference, match="random or have a state: output 'Y__0'"):
            reference.run(save("Random"), CONFIG, ROWS, ALLOWED)


def test_surplus_rows_are_cut_as_the_server_does(save: Save) -> None:
    with ScriptReference(Box()) as reference:
        outputs = reference.run(save("TwiceTheRows"), CONFIG, ROWS, ALLOWED)
    np.testing.assert_array_equal(outputs["Y__0"], ROWS["X__0"])


def test_what_is_no_torchscript(tmp_path: Path) -> None:
    file = tmp_path / "stranger" / "1" / "model.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x80\x02rubbish")
    with ScriptReference(Box()) as reference:
        with pytest.raises(ReferenceFailed, match="cannot be loaded in torch"):
            reference.run(file, CONFIG, ROWS, ALLOWED)
    file.unlink()
    os.mkfifo(file)  # to open it in the plain way would wait for ever
    with ScriptReference(Box()) as reference:
        with pytest.raises(ReferenceFailed, match="no plain file"):
            reference.run(file, CONFIG, ROWS, ALLOWED)


FRAME = (
    "import json, struct, sys\n"
    "def frame(header, payload=b'', size=None):\n"
    "    text = header if isinstance(header, bytes) else json.dumps(header).encode()\n"
    "    size = len(payload) if size is None else size\n"
    "    sys.stdout.buffer.write(struct.pack('<IQ', len(text), size) + text + payload)\n"
    "    sys.stdout.buffer.flush()\n"
    "def tensor(name='Y__0', kind='<f4', shape=(2, 3)):\n"
    "    return {'name': name, 'kind': kind, 'shape': shape}\n"
    "ready = {'tensors': []}\n"
    "frame(ready)\n"
    "frame(ready)\n"
)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print('Traceback (most recent call last)')", "wrote no answer: not a frame"),
        ("import sys\nwhile True: sys.stdout.buffer.write(b'y' * 99999)", "wrote no answer"),
        ("import sys\nwhile True: sys.stderr.buffer.write(b'y' * 99999)", "did not answer"),
        ("import os, signal\nos.kill(os.getpid(), 11)", "ended"),
        ("import sys\nsys.stderr.write('out of \\x1b[2J luck')\nsys.exit(3)",
         r"ended with status 3: out of  \[2J luck"),
        ("import os, time\nos.close(1)\nos.close(2)\nos._exit(0)", "ended with status 0"),
        (FRAME + "frame({'tensors': []}, size=1 << 40)", "wrote no answer"),
        (FRAME + "frame({'tensors': []}, size=1 << 30)", "wrote no answer: an answer of"),
        (FRAME + "frame(b'[' * 100000)", "wrote no answer"),
        (FRAME + "frame({'tensors': []})", "answers with {}, not"),
        (FRAME + "frame({'tensors': [tensor('Z')]}, b'1' * 24)", "answers with {'Z'"),
        (FRAME + "frame({'tensors': [tensor(kind='<f8', shape=(1, 3))]}, b'1' * 24)", "float64"),
        (FRAME + "frame({'tensors': [tensor(), tensor()]}, b'1' * 48)", "comes twice"),
        (FRAME + "frame({'tensors': [tensor(shape=(1 << 30, 1 << 30))]}, b'1' * 24)", "larger"),
        (FRAME + "frame({'tensors': [tensor(shape=(-1, 3))]}, b'1' * 24)", "the dimension -1"),
        (FRAME + "frame({'tensors': [tensor(kind='O')]}, b'1' * 24)", "holds 'O'"),
        (FRAME + "frame({'tensors': 7, 'refused': 'x'})", "tells no tensors"),
        (FRAME + "frame({'tensors': [], 'win': 1})", "speaks of 'win'"),
    ],
)  # fmt: skip
def test_a_child_that_writes_nonsense(tmp_path: Path, code: str, told: str) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(b"anything")
    with Stranger(code, Box()) as reference:
        with pytest.raises(ReferenceFailed, match=told) as caught:
            reference.run(file, CONFIG, ROWS, ALLOWED)
    assert "\x1b" not in str(caught.value)
    assert "stranger" in str(caught.value)


def test_torch_that_the_box_does_not_show(tmp_path: Path) -> None:
    """Said before the file is looked at, so that no file talks itself out of the box."""
    found = find_box()
    if not found.bwrap:
        pytest.skip(found.why)
    file = tmp_path / "model.pt"
    file.write_bytes(b"anything")
    answer = "frame({'tensors': [tensor()]}, bytes(24))\n"
    inside = "import os\nif os.getpid() < 20: ready = {'tensors': [], 'missing': 'no torch'}\n"
    code = FRAME.replace("frame(ready)\n", "") + inside + "frame(ready)\nframe({'tensors': []})\n"
    with Stranger(code + answer, find_box()) as reference:
        assert (reference.run(file, CONFIG, ROWS, ALLOWED)["Y__0"] == 0).all()
        assert reference.box == Box(why="torch cannot be imported in bubblewrap")
    late = FRAME + "frame({'tensors': [], 'missing': 'no torch'})\n"
    with Stranger(late, find_box()) as reference:
        with pytest.raises(NoReference, match="torch cannot be imported"):
            reference.run(file, CONFIG, ROWS, ALLOWED)
        assert reference.box.bwrap


def test_a_file_for_a_gpu_is_no_reference(box: Box, save: Save) -> None:
    with ScriptReference(box) as reference:
        with pytest.raises(NoReference, match="cannot compute it on the CPU"):
            reference.run(save("OnTheGpu"), CONFIG, ROWS, ALLOWED)


def test_a_child_that_multiplies_is_ended_with_all_its_own(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orphans in sessions of their own are found too, as long as the child lives."""
    file = tmp_path / "model.pt"
    file.write_bytes(b"anything")
    code = (
        "import ctypes, os, time\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        f"for _ in range({MAX_PROCESSES + 10}):\n"
        "    if not os.fork():\n"
        "        os.setsid()\n"
        "        if not os.fork():\n"
        "            time.sleep(300)\n"
        "        os._exit(0)\n"
        "time.sleep(300)\n"
    )
    seen: set[int] = set()
    tree = Boxed._tree

    def noted(boxed: Boxed) -> list[psutil.Process]:
        found = tree(boxed)
        seen.update(each.pid for each in found)
        return found

    monkeypatch.setattr(Boxed, "_tree", noted)
    with Stranger(code, box) as reference:
        with pytest.raises(ReferenceFailed, match=r"processes and was ended"):
            reference.run(file, CONFIG, ROWS, ALLOWED)
    assert len(seen) > MAX_PROCESSES
    assert gone(seen)


def test_it_dies_with_its_owner(box: Box, save: Save) -> None:
    """Also in the middle of an endless loop."""
    file = save("Hangs")
    code = (
        "import os, signal, sys, threading, time, json\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from pytest_triton.export.sandbox import Box\n"
        "from pytest_triton.export.script_oracle import ScriptReference\n"
        f"reference = ScriptReference(Box({box.bwrap!r}))\n"
        "def kill():\n"
        "    print(json.dumps([each.pid for each in reference._boxed._tree()]), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "reference._start(Path(sys.argv[1]), json.loads(sys.argv[2]), 'stranger')\n"
        "threading.Timer(1.0, kill).start()\n"
        f"reference.run(Path(sys.argv[1]), json.loads(sys.argv[2]),\n"
        "    {'X__0': np.ones((1, 3), np.float32)}, {})\n"
    )
    owner = subprocess.run(
        [sys.executable, "-c", code, str(file), json.dumps(CONFIG)],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert owner.returncode == -signal.SIGKILL, owner.stderr
    pids = set(json.loads(owner.stdout))
    assert pids
    assert gone(pids)


def test_the_box_shows_python_and_nothing_else() -> None:
    found = find_box()
    if not found.bwrap:
        pytest.skip(found.why)
    code = (
        "import os, socket\n"
        "print([n for n in ('/etc/passwd', '/home', '/var', '/dev/shm/x') if os.path.exists(n)])\n"
        "print(sorted(n for n in os.listdir('/proc') if n.isdigit()))\n"
        "print([name for _, name in socket.if_nameindex()])\n"
        "for path in ('/x', os.__file__ + '.x'):\n"
        "    try: open(path, 'w')\n"
        "    except OSError as error: print(error.errno)\n"
    )
    told = subprocess.run(
        found.command([interpreter(), "-I", "-S", "-c", code]),
        env={}, capture_output=True, text=True, timeout=60, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert told[0] == "[]"
    assert told[1] in ("['1', '2']", "['1', '2', '3']")
    assert told[2] == "['lo']"
    assert told[3:] == ["30", "30"], "a read-only file system"


def test_frames_of_a_stranger_carry_numbers() -> None:
    tensors = {"empty": np.empty((0, 3), np.float16), "flag": np.array([[True]]),
               "wide": np.arange(4, dtype=np.int64)[::2]}  # fmt: skip
    frame = frames.encode({"k": "v"}, tensors)
    head, _ = frames.sizes(frame[: frames.PREFIX.size])
    body = frame[frames.PREFIX.size :]
    header, back = frames.decode_strictly(body[:head], body[head:])
    assert header == {"k": "v"}
    for name, value in tensors.items():
        np.testing.assert_array_equal(back[name], value)
    text = frames.encode({}, {"t": np.array([b"x"], np.object_)})
    head, _ = frames.sizes(text[: frames.PREFIX.size])
    body = text[frames.PREFIX.size :]
    with pytest.raises(ValueError, match="holds 'bytes'"):
        frames.decode_strictly(body[:head], body[head:])
