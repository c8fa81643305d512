"""The table, the JSON and the page of an analysis that was made by hand."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pytest_triton.memory_use.analysing import _peaks
from pytest_triton.memory_use.headroom import Headroom
from pytest_triton.memory_use.measured import (
    MIB,
    Analysis,
    Growth,
    Loaded,
    ModelMemory,
    UnderLoad,
    mib,
)
from pytest_triton.memory_use.reading import Reading
from pytest_triton.memory_use.sampling import Samples
from pytest_triton.memory_use.table import table
from pytest_triton.memory_use.trend import look
from pytest_triton.reports.memory import bars, line, page

SETTINGS = {
    "batches": (1, 8), "seconds": 2.0, "cycles": 6, "warmup": 2, "interval_s": 0.05,
}  # fmt: skip


def _reading(host: float, gpu: float = 0.0) -> Reading:
    """So many MiB, of which 10 are the server's."""
    return Reading(10 * MIB, round((host - 10) * MIB), 0, 1, (round(gpu * MIB),))


def _under_load(batch: int, host: float, gpu: float, **more: Any) -> UnderLoad:
    samples = Samples([0.0, 0.06, 0.2], [1, 2, 3], [1, 2, 3], 9)
    found = {"requests": 10, "errors": 0, "error": "", **more}
    return UnderLoad(
        "<b>ert", batch, 1, found["requests"], found["errors"], found["error"], 50.0,
        _reading(host, gpu), _reading(host, gpu), samples,
    )  # fmt: skip


def _growth(step: float, per: str = "cycle", count: int = 6, limit: float = 1.0) -> Growth:
    x = [float(n) for n in range(3, 3 + count)]
    y = [round((100 + step * n) * MIB) for n in range(count)]
    return Growth("host", per, x, y, 2, limit * MIB, look(x, [float(v) for v in y], limit * MIB, 6))


def _made(*growths: Growth, **more: Any) -> Analysis:
    loaded = Loaded(1, False, _reading(100, 500), _reading(150, 900))
    loaded.under_load = [_under_load(1, 160, 1000), _under_load(8, 190, 1400)]
    loaded.unloaded = _reading(100.5, 501)
    model = ModelMemory("<b>ert", [loaded], list(growths), notes=["takes 8 rows at most"])
    places = [Headroom("GPU 0 (H100)", 2000 * MIB, "the card", 1400 * MIB, "b at batch 8", 0.1)]
    made = Analysis("/models/<lab>", "gpu", "24.10", {"triton": "2.51.0"}, SETTINGS)
    made.booted, made.base = _reading(10, 400), _reading(100, 500)
    made.constants = {"CUDA memory pool of GPU 0": 64 * MIB}
    made.models, made.headroom = [model], places
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_numbers_for_people() -> None:
    assert [mib(v * MIB) for v in (0, -0.001, 0.04, 2.345, 17.05, 4004)] == [
        "0.00", "0.00", "0.04", "2.35", "17.1", "4004",
    ]  # fmt: skip


def test_the_table() -> None:
    lines = table(_made(_growth(0.1)))
    first, second = [line for line in lines if re.search(r"\d {2,}50\.0 ", line)]
    assert first.split() == ["<b>ert", "1", "1", "50.0", "50.0", "60.0", "400", "500"]
    assert second.split() == ["8", "50.0", "90.0", "0.50", "900", "1.00"]
    text = "\n".join(lines)
    assert "600 MiB (30%) of 2000 are left at the peak (b at batch 8), 10% have to be" in text
    assert "0.10 MiB per cycle [0.10, 0.10], limit 1.00, 6 readings" in text
    assert "CUDA memory pool of GPU 0 64.0 MiB" in text
    assert lines[-1].split() == ["verdict", "pass"]


@pytest.mark.parametrize(
    ("change", "verdict", "told"),
    [
        ({}, "pass", ""),
        ({"growths": [_growth(4.0, count=12)]}, "fail", "host growth per cycle"),
        ({"growths": [_growth(4.0)], "failed": ""}, "fail", "4.00 MiB per cycle"),
        ({"failed": "it does not load: no file"}, "fail", "it does not load: no file"),
        ({"failed": "no usable inputs", "failure": "inconclusive"}, "inconclusive", "no usable"),
    ],
)
def test_the_worst_verdict_counts(change: dict[str, Any], verdict: str, told: str) -> None:
    made = _made(_growth(0.1))
    for name, value in change.items():
        setattr(made.models[0], name, value)
    assert made.verdict == verdict
    assert told in "\n".join(table(made))


def test_requests_that_fail_fail() -> None:
    made = _made()
    made.models[0].loads[0].under_load[1] = _under_load(8, 1, 1, errors=3, error="out of memory")
    assert made.verdict == "fail"
    assert "3 of 10 requests of batch 8 failed: out of memory" in "\n".join(table(made))


def test_made_up_requests_that_fail_fail_nothing() -> None:
    made = _made(_growth(0.1))
    failed = _under_load(8, 100, 1, errors=3, error="index out of range")
    failed.made_up = True
    made.models[0].loads[0].under_load[1] = failed
    assert made.verdict == "inconclusive"
    assert "index out of range (the inputs are made up)" in "\n".join(table(made))


def test_every_reading_may_be_the_peak() -> None:
    made = _made(_growth(0.1))
    made.models[0].growths[0].most = _reading(170, 1500)
    made.models[0].loads[0].loading = _reading(220, 1)
    made.together = Loaded(1, False, _reading(1), _reading(2), loading=_reading(210, 2))
    peaks = {when: reading.host // MIB for when, reading in _peaks(made)}
    assert peaks["<b>ert while it loads"] == 220
    assert peaks["<b>ert, readings per cycle"] == 170
    assert peaks["all models together"] == 210
    assert made.models[0].loads[0].peak == 120 * MIB


def test_advice_is_told() -> None:
    x, y = [float(n) for n in range(20)], [40 * MIB * ((n + 17) // 20) for n in range(20)]
    made = _made(Growth("host", "cycle", x, y, 2, MIB, look(x, [float(v) for v in y], MIB, 10)))
    assert made.verdict == "inconclusive"
    assert "; it grows in steps: more --cycles would tell" in "\n".join(table(made))


def test_too_little_left_fails() -> None:
    made = _made(_growth(0.1))
    made.headroom = [Headroom("GPU 0", 1500 * MIB, "the card", 1400 * MIB, "b", 0.1)]
    assert made.verdict == "fail"


def test_nothing_measured_is_not_a_pass() -> None:
    assert _made(models=[], headroom=[]).verdict == "inconclusive"


def test_json_is_plain_and_whole() -> None:
    few = Growth("host", "cycle", [1.0, 2.0], [1, 2], 0, 1.0, look([1.0, 2.0], [1.0, 2.0], 1.0, 2))
    data = json.loads(json.dumps(_made(few).to_json(), allow_nan=False))
    assert data["verdict"] == "inconclusive"
    model = data["models"][0]
    assert model["growths"][0]["look"]["trend"]["high"] is None
    assert model["loads"][0]["under_load"][0]["samples"]["host"] == [1, 2, 3]
    assert model["loads"][0]["under_load"][0]["samples"]["longest_gap"] == pytest.approx(0.14)
    assert data["headroom"][0]["verdict"] == "pass"
    assert data["headroom"][0]["share"] == pytest.approx(0.3)
    assert page(data).count("?") >= 1  # an end that is unknown is told as such


def test_bars_are_as_long_as_they_say() -> None:
    made = _made(_growth(0.1)).to_json()
    host, gpu = bars(made, "host"), bars(made, "GPU")
    assert host is not None
    assert gpu is not None
    (group,) = host.groups
    assert [bar.what for bar in group.bars] == ["idle", "batch 1", "batch 8", "after unload"]
    assert [bar.told for bar in group.bars] == ["50 MiB", "60 MiB", "90 MiB", "0.5 MiB"]
    assert group.bars[2].width == pytest.approx(group.bars[0].width * 1.8, abs=0.2)
    assert [bar.told for bar in gpu.groups[0].bars][2] == "900 MiB"
    assert max(x for x, _ in host.ticks) <= host.width
    assert bars(_made(models=[]).to_json(), "host") is None


def test_lines_rise_as_they_say() -> None:
    made = _made(_growth(0.1), _growth(4.0, "1000 requests", 12)).to_json()
    calm, steep = (line("m", growth) for growth in made["models"][0]["growths"])
    assert calm.verdict == "pass"
    assert calm.limit[3] < calm.fitted[3]  # y grows downwards: the limit lies above
    assert (steep.verdict, steep.axis) == ("fail", "thousand requests")
    assert steep.fitted[3] < steep.limit[3]
    assert [judged for _, _, judged in steep.dots] == [False] * 6 + [True] * 6
    assert steep.dots[6][:2] == steep.fitted[:2]
    for drawn in (calm, steep):
        assert all(0 <= x <= drawn.width and 0 <= y <= drawn.floor for x, y, _ in drawn.dots)


def test_the_page() -> None:
    made = _made(_growth(0.1), _growth(4.0, count=12), notes=["a <note>"])
    text = page(made.to_json())
    assert text.lstrip().startswith("<!doctype html>")
    assert "<b>ert" not in text
    assert "&lt;b&gt;ert, 1 instance<" in text
    assert "a &lt;note&gt;" in text
    assert "1 of 3 checks fail" in text
    assert "GPU memory of each model" in text
    assert "CUDA memory pool of GPU 0" in text
    assert "http" not in re.sub(r"<title>.*?</title>", "", text)  # nothing is fetched
