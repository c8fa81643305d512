"""Memory is counted before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.llama.architecture import SHAPES, Llama
from pytest_triton.llama.room import FORMS, Room, plan, room_of

GIB = 1 << 30


def _seven(**more: Any) -> Llama:
    settings = {"weights": None, "seed": 0, "dtype": "float16", "device": "gpu", "streams": 4,
                "max_length": 512, **more}  # fmt: skip
    return Llama(SHAPES["7b"], **settings)


def _room(device: float, disk: float = 100, host: float = 64) -> Room:
    return Room(int(device * GIB), int(host * GIB), int(disk * GIB))


def test_what_7b_takes() -> None:
    llama = _seven()
    assert llama.weight_bytes == 2 * 6_738_415_616
    # 2 · 32 layers · 4096 · 2 bytes are 512 KiB a token
    assert llama.cache_bytes == 4 * 512 * 512 * 1024


def test_a_large_card_takes_both_at_once() -> None:
    found = plan(_seven(), FORMS, _room(80))
    assert found.together
    assert "in turn" in found.told(_room(80))


def test_a_card_of_16_gib_takes_the_stream_alone() -> None:
    found = plan(_seven(), ("stream",), _room(15.5))
    assert not found.together
    assert "one after the other" in found.told(_room(15.5))


@pytest.mark.parametrize(
    ("llama", "room", "forms", "said"),
    [
        (_seven(), _room(15.5), FORMS, "export to TorchScript.*--form stream"),
        (_seven(dtype="float32"), _room(24), ("stream",), "needs .* in float32.*--dtype bfloat16"),
        (_seven(streams=64), _room(24), ("stream",), "cache needs .*fewer streams"),
        (_seven(), _room(80, disk=5), FORMS, "the disk has 5.0 GiB free"),
        (_seven(weights=Path("/w")), _room(80, host=4), FORMS, "pass through memory"),
        (_seven(device="cpu"), _room(8), ("stream",), "and memory has 8.0 GiB free"),
    ],
)
def test_too_little_is_said_with_its_remedy(
    llama: Llama, room: Room, forms: Any, said: str
) -> None:
    with pytest.raises(ToolError, match=f"(?s){said}"):
        plan(llama, forms, room)


def test_what_this_machine_has(tmp_path: Path) -> None:
    found = room_of("cpu", tmp_path)
    assert found.device == found.host > 0
    assert found.disk > 0
