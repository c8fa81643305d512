"""Which batch sizes are measured, with how many instances, and what is told of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_triton.launch.regions import mixes_up
from pytest_triton.memory_use.driving import instance_count
from pytest_triton.memory_use.loading import batch_sizes
from pytest_triton.memory_use.serving import with_instances
from pytest_triton.served_model import ServedModel


@pytest.mark.parametrize(
    ("config", "wanted", "sizes", "told"),
    [
        ({"max_batch_size": 0}, (1, 8), [0], ""),
        ({"max_batch_size": 8}, (8, 1), [1, 8], ""),
        ({"max_batch_size": 8}, (1, 8, 32, 64), [1, 8], "8 is measured for 32, 64"),
        ({"max_batch_size": 64}, (1, 8), [1, 8], "more than 8 is not measured"),
        ({"max_batch_size": 4, "sequence_batching": {}}, (1, 4), [1], "takes sequences"),
        ({"max_batch_size": 4, "sequence_batching": {}}, (1,), [1], ""),
    ],
)
def test_sizes(
    config: dict[str, Any], wanted: tuple[int, ...], sizes: list[int], told: str
) -> None:
    found, notes = batch_sizes(ServedModel("m", ("1",), config), wanted)
    assert found == sizes
    assert told in " ".join(notes)
    assert bool(notes) == bool(told)


def test_instances() -> None:
    groups = [{"kind": "KIND_GPU", "count": 1, "gpus": [0]}, {"kind": "KIND_CPU", "count": 2}]
    config = {"name": "m", "instance_group": groups}
    assert with_instances(config, 3) == {
        "name": "m", "instance_group": [{"kind": "KIND_GPU", "count": 3, "gpus": [0]}],
    }  # fmt: skip
    assert with_instances({"name": "m"}, 2)["instance_group"] == [{"count": 2}]
    assert groups[0]["count"] == 1


@pytest.mark.parametrize(
    ("groups", "count"),
    [
        ([], 1),
        ([{"kind": "KIND_CPU", "count": 2}], 2),
        ([{"kind": "KIND_GPU", "count": 2, "gpus": [0, 1]}], 4),
        ([{"kind": "KIND_GPU", "count": 2}, {"kind": "KIND_CPU", "gpus": []}], 3),
    ],
)
def test_instances_on_each_card(groups: list[dict[str, Any]], count: int) -> None:
    assert instance_count({"instance_group": groups}) == count


def test_old_servers_mix_up_regions(tmp_path: Path) -> None:
    for name, backend in (("one", "python"), ("two", "pytorch")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").write_text(f'backend: "{backend}"\n')
    assert mixes_up("2.39.0", tmp_path, ["one", "two"])
    assert not mixes_up("2.39.0", tmp_path, ["one"])
    assert not mixes_up("2.48.0", tmp_path, ["one", "two"])
