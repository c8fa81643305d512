"""Options of the commands that measure, and how these end when they are told to."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli
from pytest_triton.commands import shared
from pytest_triton.errors import ToolError

#: A module whose import takes until somebody ends it: the command is in the middle by then.
SLOW = """
import pathlib, tempfile, time
with tempfile.TemporaryDirectory(dir=pathlib.Path(__file__).parent, prefix="work-"):
    print("here", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("option", ["--json", "--html"])
@pytest.mark.parametrize("command", ["ablate", "compare", "llama", "memory"])
def test_a_file_is_refused_before_anything_is_measured(
    tmp_path: Path, command: str, option: str
) -> None:
    place = [] if command == "llama" else [str(tmp_path)]
    for wrong in (tmp_path / "missing" / "made", tmp_path):
        made = CliRunner().invoke(cli, [command, *place, option, str(wrong)])
        assert made.exit_code == 2, made.output
        assert "directory" in made.output


def test_a_file_that_cannot_be_written_any_more(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be written: No such file or directory"):
        shared.write(tmp_path / "gone" / "made.json", lambda: "{}")


def test_a_torch_without_a_gpu_on_a_machine_that_has_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("pytest_triton.launch.machine.gpu_count", lambda: 1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert shared.computing("auto") == "cpu"
    assert "sees no GPU" in capsys.readouterr().err
    with pytest.raises(ToolError, match="computes on none"):
        shared.computing("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert shared.computing("auto") == shared.computing("gpu") == "gpu"
    assert shared.computing("cpu") == "cpu"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_triton.cli", "ablate", "--module", f"{tmp_path}/slow.py:x",
         "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell's job in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("work-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.glob("work-*"))
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number, told
    assert list(tmp_path.glob("work-*")) == []
    assert "Traceback" not in told


def test_the_statuses_of_click_stay() -> None:
    for arguments, status in ((["--version"], 0), (["ablate", "--help"], 0), (["nothing"], 2)):
        made = subprocess.run([sys.executable, "-m", "pytest_triton.cli", *arguments],
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        assert made.returncode == status, made.stderr
        assert made.stdout if status == 0 else "No such command" in made.stderr


def test_a_device_is_a_file_too() -> None:
    @click.command()
    @shared.written
    def command(**options: object) -> None:
        click.echo(str(options["json_file"]))

    assert CliRunner().invoke(command, ["--json", "/dev/null"]).output == "/dev/null\n"
