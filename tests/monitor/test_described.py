"""Labels, units and gauges of a page: what is told of GPUs is held against pages made by hand.

They have the format that Triton 2.51 has with DCGM (docs/reports/h200-24.10.md names its families).
"""

from __future__ import annotations

import pytest

from pytest_triton.described import gauge_flaws, gpu_flaws, label_flaws, unit_flaws
from pytest_triton.flagged import QUANTILES, family_flaws, summary_flaws
from pytest_triton.monitor.expected import (
    CACHE_GAUGES,
    CACHED_SUMMARIES,
    CPU_FAMILIES,
    DURATIONS,
    GPU_FAMILIES,
    SUMMARIES,
    families_of,
    labels_of,
)
from pytest_triton.monitor.metrics import parse

ONE, TWO = "GPU-0a1b2c3d-1111-2222-3333-444455556666", "GPU-9f8e7d6c-1111-2222-3333-444455556666"
GIB = 1 << 30
CARDS = """\
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="ONE"} 0.37
nv_gpu_utilization{gpu_uuid="TWO"} 0
# HELP nv_gpu_memory_total_bytes GPU total memory, in bytes
# TYPE nv_gpu_memory_total_bytes gauge
nv_gpu_memory_total_bytes{gpu_uuid="ONE"} 150000000000
nv_gpu_memory_total_bytes{gpu_uuid="TWO"} 150000000000
# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="ONE"} 1000000000
nv_gpu_memory_used_bytes{gpu_uuid="TWO"} 500000000
# HELP nv_gpu_power_usage GPU power usage in watts
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="ONE"} 119.5
nv_gpu_power_usage{gpu_uuid="TWO"} 75.1
# HELP nv_gpu_power_limit GPU power management limit in watts
# TYPE nv_gpu_power_limit gauge
nv_gpu_power_limit{gpu_uuid="ONE"} 700
nv_gpu_power_limit{gpu_uuid="TWO"} 700
# HELP nv_energy_consumption GPU energy consumption in joules since the Triton Server started
# TYPE nv_energy_consumption counter
nv_energy_consumption{gpu_uuid="ONE"} 1234.5
nv_energy_consumption{gpu_uuid="TWO"} 900.1
""".replace("ONE", ONE).replace("TWO", TWO)
MEMORY = dict.fromkeys((ONE, TWO), 150_000_000_000)


def test_cards_as_they_should_be() -> None:
    assert gpu_flaws(parse(CARDS)) == gpu_flaws(parse(CARDS), MEMORY) == []
    assert label_flaws(parse(CARDS), [], "24.10") == unit_flaws(parse(CARDS)) == []


def test_absent_is_not_zero() -> None:
    """What a server without DCGM tells is nothing, and that is a flaw where there is a GPU."""
    assert gpu_flaws(parse("")) == [f"missing: {name}" for name in GPU_FAMILIES]
    zero = CARDS.replace(" 150000000000\n", " 0\n").replace(" 1000000000\n", " 0\n")
    assert f"{ONE}: nv_gpu_memory_total_bytes is 0" in gpu_flaws(parse(zero))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f'nv_gpu_power_limit{{gpu_uuid="{TWO}"}} 700\n', "", f"nv_gpu_power_limit has no series of {TWO}"),
        ("} 0.37", "} 37", "nv_gpu_utilization is 37, a part of 1"),
        ("} 1000000000\n", "} 150000000001\n", "nv_gpu_memory_used_bytes is 150000000001 of 150000000000"),
        ("consumption counter", "consumption gauge", "nv_energy_consumption is a gauge, not a counter"),
        ("} 119.5", "} Nan", "nv_gpu_power_usage is nan"),
        ("} 1234.5", "} -1", "nv_energy_consumption is -1"),
        ("} 150000000000\n", "} 150000\n", "nv_gpu_memory_total_bytes is 150000, the card has"),
        (TWO, "GPU-other", "GPU-other is no GPU of the server"),
    ],
)  # fmt: skip
def test_flaws_of_cards(old: str, new: str, says: str) -> None:
    assert old in CARDS
    flaws = gpu_flaws(parse(CARDS.replace(old, new)), MEMORY)
    assert any(says in flaw for flaw in flaws), flaws


MACHINE = """\
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.25
# HELP nv_cpu_memory_total_bytes CPU total memory (RAM), in bytes
# TYPE nv_cpu_memory_total_bytes gauge
nv_cpu_memory_total_bytes 8000
# HELP nv_cpu_memory_used_bytes CPU used memory (RAM), in bytes
# TYPE nv_cpu_memory_used_bytes gauge
nv_cpu_memory_used_bytes 3000
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("utilization 0.25", "utilization 25", "nv_cpu_utilization is 25"),
        ("utilization 0.25", "utilization Nan", "nv_cpu_utilization is nan"),
        ("used_bytes 3000", "used_bytes 9000", "nv_cpu_memory_used_bytes is 9000 of 8000"),
        ("used_bytes 3000", "used_bytes 0", "nv_cpu_memory_used_bytes is 0"),
        ("total_bytes 8000", "total_bytes 8001", "is 8001, the machine has 8000"),
    ],
)
def test_flaws_of_the_machine(old: str, new: str, says: str) -> None:
    assert gauge_flaws(parse(MACHINE), 8000) == gauge_flaws(parse(MACHINE), None) == []
    flaws = gauge_flaws(parse(MACHINE.replace(old, new)), 8000)
    assert any(says in flaw for flaw in flaws), flaws
    assert gauge_flaws(parse(""), 8000) == []


def test_units() -> None:
    assert unit_flaws(parse(MACHINE)) == []
    assert unit_flaws(parse(MACHINE.replace("in bytes", "in MiB")))[0].startswith(
        "nv_cpu_memory_total_bytes does not say 'bytes'"
    )
    assert unit_flaws(parse("# HELP other_us seconds\n# TYPE other_us gauge\nother_us 1\n")) == []


def test_labels_by_release() -> None:
    failure = "nv_inference_request_failure"
    assert labels_of(failure, "24.07") == labels_of(failure, None) == {"model", "version", "reason"}
    assert labels_of(failure, "23.10") == {"model", "version"}
    assert labels_of("team_tokens", "24.10") is None
    plain = f'# TYPE {failure} counter\n{failure}{{model="m",version="1"}} 0\n'
    assert label_flaws(parse(plain), [("m", "1")], "23.10") == []
    flaws = label_flaws(parse(plain), [("m", "1")], "24.10")
    assert flaws[0] == f"{failure} has the labels model, version, not model, reason, version"
    assert flaws[1].startswith("m version 1 has failures with the reasons none")


def _page(families: set[str]) -> str:
    return "".join(f"# HELP {name} h\n# TYPE {name} gauge\n{name} 1\n" for name in sorted(families))


def test_families_of_flags() -> None:
    plain = set(families_of("24.10")) | {"team_gauge"}
    right = (plain - CPU_FAMILIES - DURATIONS) | SUMMARIES | CACHED_SUMMARIES | CACHE_GAUGES

    def flaws(families: set[str]) -> list[str]:
        return family_flaws(parse(_page(families)), parse(_page(plain)), "24.10")

    assert flaws(right) == []
    assert flaws(right | {"nv_cpu_utilization"}) == ["nv_cpu_utilization is still there"]
    assert flaws(right - {"nv_inference_count"}) == ["nv_inference_count is gone too"]
    assert flaws(right - {"nv_cache_util"}) == ["nv_cache_util is not there"]
    assert flaws(right | {"nv_surprise"}) == ["nv_surprise is there too"]


def test_summaries() -> None:
    def page(values: tuple[str, ...], count: int = 4, total: int = 100) -> str:
        lines = []
        for name in sorted(SUMMARIES):
            lines += [f"# HELP {name} h", f"# TYPE {name} summary"]
            lines += [
                f'{name}{{model="m",version="1",quantile="{q}"}} {value}'
                for q, value in zip(QUANTILES, values, strict=True)
            ]
            lines += [f'{name}_count{{model="m",version="1"}} {count}']
            lines += [f'{name}_sum{{model="m",version="1"}} {total}']
        return "\n".join(lines) + "\n"

    assert summary_flaws(parse(page(("10", "20", "20"))), "m", 4) == []
    for values, keywords, says in (
        (("10", "20", "15"), {}, "falls from one quantile to the next"),
        (("Nan", "Nan", "Nan"), {}, "no durations"),
        (("10", "20", "30"), {"count": 5}, "_count is 5.0 after 4 requests"),
        (("10", "20", "101"), {}, "_sum is 100.0, and one request took 101"),
    ):
        flaws = summary_flaws(parse(page(values, **keywords)), "m", 4)
        assert len(flaws) == len(SUMMARIES)
        assert all(says in flaw for flaw in flaws), flaws
    assert "quantiles []" in summary_flaws(parse(""), "m", 4)[0]
