"""The process that knows the eager answers: it answers, refuses, and never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.export import frames
from pytest_triton.export.oracle import ReferenceProcess, ReferenceRefused
from pytest_triton.repository.reference import python_path


@pytest.fixture(scope="module")
def oracle() -> Iterator[ReferenceProcess]:
    with ReferenceProcess() as process:
        yield process


def pid_of(oracle: ReferenceProcess) -> int:
    assert oracle._process is not None
    return oracle._process.pid


def gone(pid: int, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_versions_answer_differently_and_repeatably(oracle: ReferenceProcess) -> None:
    inputs = {"features": np.ones((2, 4), np.float32)}
    first = oracle.run("versioned", 1, inputs)["scores"]
    third = oracle.run("versioned", 3, inputs)["scores"]
    assert first.shape == third.shape == (2, 3)
    assert not np.allclose(first, third)
    np.testing.assert_array_equal(oracle.run("versioned", 1, inputs)["scores"], first)
    with ReferenceProcess(seed=oracle.seed + 1) as other:
        assert not np.allclose(other.run("versioned", 1, inputs)["scores"], first)


def test_strings_go_in_and_come_out(oracle: ReferenceProcess) -> None:
    prompt = np.array([b"\0\xff prompt"], np.object_)
    inputs = {"text_input": prompt, "max_tokens": np.array([3], np.int32)}
    words = oracle.run("generator", 1, inputs)["text_output"]
    assert words.shape == (3,)
    assert all(isinstance(word, bytes) and word for word in words)


def test_a_large_request_does_not_lock_the_pipe(oracle: ReferenceProcess) -> None:
    images = np.zeros((8, 512, 512, 3), np.uint8)
    assert oracle.run("preprocess", 1, {"image": images})["pixels"].shape == (8, 3, 64, 64)


def test_what_the_module_refuses_is_its_own_reason(oracle: ReferenceProcess) -> None:
    before = oracle.run("versioned", 1, {"features": np.ones((1, 4), np.float32)})
    with pytest.raises(ReferenceRefused) as caught:
        oracle.run("versioned", 1, {"features": np.ones((1, 5), np.float32)})
    assert "mat1 and mat2" in caught.value.reason
    after = oracle.run("versioned", 1, {"features": np.ones((1, 4), np.float32)})
    np.testing.assert_array_equal(before["scores"], after["scores"])


@pytest.mark.parametrize(("model", "version"), [("nope", 1), ("versioned", 4), ("../mlp", 1)])
def test_unknown_models_and_versions(oracle: ReferenceProcess, model: str, version: int) -> None:
    with pytest.raises(ToolError, match=r"no (reference model|version)"):
        oracle.run(model, version, {})


def test_a_deadline_ends_the_process_and_the_next_question_works() -> None:
    inputs = {"features": np.ones((1, 4), np.float32)}
    with ReferenceProcess(start_timeout=0.0) as oracle:
        with pytest.raises(ToolError, match="did not answer within"):
            oracle.run("versioned", 1, inputs, timeout=0.05)
        assert oracle.run("versioned", 1, inputs, timeout=60.0)["scores"].shape == (1, 3)


def test_a_killed_process_is_reported_and_replaced() -> None:
    inputs = {"features": np.ones((1, 4), np.float32)}
    with ReferenceProcess() as oracle:
        oracle.run("versioned", 1, inputs)
        first = pid_of(oracle)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(ToolError, match="did not answer"):
            oracle.run("versioned", 1, inputs, timeout=0.2)
        assert gone(first)
        oracle.run("versioned", 1, inputs)
        assert pid_of(oracle) != first
        last = pid_of(oracle)
    assert gone(last)


def test_it_dies_with_its_owner() -> None:
    code = (
        "import numpy as np, os, signal, sys\n"
        "from pytest_triton.export.oracle import ReferenceProcess\n"
        "oracle = ReferenceProcess()\n"
        "oracle.run('generator', 1, {'text_input': np.array([b'a'], object)})\n"
        "assert 'torch' not in sys.modules\n"
        "print(oracle._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    owner = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert owner.returncode == -signal.SIGKILL, owner.stderr
    assert gone(int(owner.stdout))


def test_frames_carry_every_type() -> None:
    tensors = {
        "empty": np.empty((0, 3), np.float16),
        "flag": np.array([[True]]),
        "wide": np.arange(4, dtype=">i8")[::2],
        "text": np.array([["a", "ü"], ["", "d"]], np.object_),
    }
    frame = frames.encode({"k": 1}, tensors)
    head, payload = frames.sizes(frame[: frames.PREFIX.size])
    body = frame[frames.PREFIX.size :]
    header, back = frames.decode(body[:head], body[head:])
    assert header == {"k": 1}
    assert len(body) == head + payload
    assert back["empty"].shape == (0, 3)
    np.testing.assert_array_equal(back["wide"], [0, 2])
    assert back["text"].tolist() == [[b"a", "ü".encode()], [b"", b"d"]]
    with pytest.raises(ValueError, match="not a frame"):
        frames.sizes(b"Traceback (m")
