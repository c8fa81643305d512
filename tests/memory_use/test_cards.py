"""What nvidia-smi says of cards; a script stands in for it here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.memory_use import cards as cards_module
from pytest_triton.memory_use.cards import MIB, Watch, by_process, cards, parse, rows, visible

ONE = "0, GPU-aa11, NVIDIA H100 80GB HBM3, 1024, 81559\n"
TWO = "1, GPU-bb22, NVIDIA H100 80GB HBM3, 4, 81559\n"
LOST = "1, [GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]\n"
#: As nvidia-smi is asked here: cards, processes, or cards again and again with rising use.
_SCRIPT = """#!/bin/sh
case "$*" in
  *compute-apps*) printf '77, 600\\n78, 400\\n77, 24\\n[N/A], 9\\n' ;;
  *-lms*) for used in 1100 9000 1200 1200 1200 1200; do
      echo "0, GPU-aa11, NVIDIA H100, $used, 81559"; sleep 0.05; done; exec sleep 30 ;;
  *) printf '0, GPU-aa11, NVIDIA H100, 1024, 81559\\n' ;;
esac
"""


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "nvidia-smi"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return script


def test_lines_are_read() -> None:
    one, two = parse(rows(f"{ONE}\n{TWO}"))
    assert (one.index, one.used, one.total) == (0, 1024 * MIB, 81559 * MIB)
    assert two.title == "GPU 1 (NVIDIA H100 80GB HBM3)"


@pytest.mark.parametrize("line", ["0, GPU-aa11, H100, [N/A], 81559", LOST, "1, 2"])
def test_a_card_that_tells_no_memory(line: str) -> None:
    with pytest.raises(ToolError, match="does not tell the memory") as error:
        parse(rows(line))
    assert "--device cpu" in error.value.remedy


@pytest.mark.parametrize(
    ("named", "left"),
    [
        (None, [0, 1]),
        ("1", [1]),
        ("0,1", [0, 1]),
        ("GPU-bb", [1]),
        ("", []),
        ("5", []),
        ("MIG-aa11", []),
        ("-1", []),
        ("1,0", [0, 1]),
        ("1,5,0", [1]),
        ("GPU-", [0]),
    ],
)
def test_cards_that_the_server_may_use(named: str | None, left: list[int]) -> None:
    environment = {} if named is None else {"CUDA_VISIBLE_DEVICES": named}
    assert [int(row[0]) for row in visible(rows(ONE + TWO), environment)] == left


@pytest.mark.parametrize("named", ["MIG-5c0f9f1e", "7", "-1,0"])
def test_no_card_is_left(smi: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Else there would be no GPU memory, and a pass."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with pytest.raises(ToolError, match=f"no card is left .* '{named}'") as error:
        cards()
    assert "by index or GPU-UUID" in error.value.remedy


def test_a_machine_without_cards(smi: Path) -> None:
    smi.write_text("#!/bin/sh\necho 'No devices were found'\n")
    with pytest.raises(ToolError, match="No devices were found"):
        cards()


@pytest.mark.parametrize("status", [0, 15])
def test_a_sick_card_of_others(smi: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    smi.write_text(f"#!/bin/sh\nprintf '{ONE.strip()}\\n{LOST.strip()}\\n'\nexit {status}\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa11")
    assert [card.index for card in cards()] == [0]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(ToolError, match="GPU is lost"):
        cards()


def test_asked_once(smi: Path) -> None:
    assert [card.used for card in cards()] == [1024 * MIB]
    assert by_process() == {77: 624 * MIB, 78: 400 * MIB}


def test_the_peak_is_kept(smi: Path) -> None:
    with Watch(0.05) as watch:
        until = time.monotonic() + 20
        while watch.count < 7 and time.monotonic() < until:
            time.sleep(0.01)
        assert watch.used == (1200 * MIB,)
    assert watch.peaks == (9000 * MIB,)
    assert watch.count == 8  # before, six while it ran, after


def test_an_nvidia_smi_that_does_not_end(smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi.write_text(
        f"#!/bin/sh\necho '{ONE.strip()}'\n"
        "case \"$*\" in *-lms*) trap '' TERM; while :; do sleep 0.05; done ;; esac\n"
    )
    monkeypatch.setattr(cards_module, "_END", 0.3)
    with Watch(0.05) as watch:
        process = watch._process
        assert process is not None
        until = time.monotonic() + 20
        while watch.count < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert process.returncode == -9


def test_no_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="nvidia-smi does not answer"):
        cards()


def test_a_driver_that_fails(smi: Path) -> None:
    smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    with pytest.raises(ToolError, match="NVIDIA-SMI has failed"):
        cards()
