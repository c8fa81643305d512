"""Turns at a shared server, between processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.launch.shared import Controller
from pytest_triton.launch.turns import Turns

HOLDER = """
import json, sys
from pytest_triton.launch.turns import Turns
with Turns(json.loads(sys.argv[1])).turn(exclusive=sys.argv[2] == "alone"):
    print("in", flush=True)
    sys.stdin.readline()
"""
#: Each process adds to a number in a file, without care; lost updates would show.
COUNTER = """
import json, sys
from pathlib import Path
from pytest_triton.launch.turns import Turns
turns, file = Turns(json.loads(sys.argv[1])), Path(sys.argv[2])
for _ in range(50):
    with turns.turn():
        with turns.turn(exclusive=True):
            file.write_text(str(int(file.read_text()) + 1))
"""


@pytest.fixture
def shared() -> Iterator[dict[str, str]]:
    controller = Controller()
    yield controller.to_json()
    controller.close()
    assert not controller.directory.exists()


def holder(shared: dict[str, str], how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, json.dumps(shared), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process


def is_in(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=20)


def test_together(shared: dict[str, str]) -> None:
    other = holder(shared, "together")
    is_in(other)
    with Turns(shared, timeout=0.1).turn():
        pass
    leave(other)


@pytest.mark.parametrize(
    ("held", "wanted"), [("together", True), ("alone", False), ("alone", True)]
)
def test_alone(shared: dict[str, str], held: str, wanted: bool) -> None:
    other = holder(shared, held)
    is_in(other)
    turns = Turns(shared, timeout=0.1)
    with pytest.raises(ToolError, match="has kept the shared server"):
        with turns.turn(exclusive=wanted):
            pass
    leave(other)
    with turns.turn(exclusive=wanted):
        pass


def test_who_was_killed_holds_nothing(shared: dict[str, str]) -> None:
    other = holder(shared, "alone")
    is_in(other)
    other.kill()
    other.communicate(timeout=20)
    with Turns(shared, timeout=1).turn(exclusive=True):
        pass


def test_who_waits_for_it_alone_is_not_overtaken(shared: dict[str, str]) -> None:
    first = holder(shared, "together")
    is_in(first)
    second = holder(shared, "alone")
    late = Turns(shared, timeout=0.2)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # until the second one stands in the queue
        try:
            with late.turn():
                time.sleep(0.01)
        except ToolError:
            break
    else:
        pytest.fail("overtaken")
    leave(first)
    is_in(second)
    leave(second)


def test_nested_and_given_back(shared: dict[str, str]) -> None:
    turns, other = Turns(shared, timeout=1), Turns(shared, timeout=0.05)
    with turns.turn():
        with turns.turn(exclusive=True):
            with turns.turn():  # still alone
                with pytest.raises(ToolError), other.turn():
                    pass
        with other.turn():  # together again
            pass
        with pytest.raises(ToolError), other.turn(exclusive=True):
            pass
    with other.turn(exclusive=True):
        pass
    turns.close()
    other.close()


def test_no_update_is_lost(shared: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("0")
    started = [
        subprocess.Popen([sys.executable, "-c", COUNTER, json.dumps(shared), str(file)])
        for _ in range(3)
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert file.read_text() == "150"


def test_alone_in_the_world_nothing_is_written(tmp_path: Path) -> None:
    with Turns(None).turn(exclusive=True):
        pass
