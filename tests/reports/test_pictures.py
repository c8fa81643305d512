"""Numbers read off the SVG again: what is drawn is what report.json says."""

from __future__ import annotations

import math
import random
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.reports import charts, render
from pytest_triton.reports.pictures import Picture
from pytest_triton.series import read


class Drawn:
    """The SVG of the only picture of a clause, with its axes as functions from place to value."""

    def __init__(self, made: Any, clause: str) -> None:
        report = made.report()
        page = render.page(report, made.directory)
        entry = next(entry for entry in report["clauses"] if entry["id"] == clause)
        self.entries = entry["measurements"]
        self.series = read(self.entries[0]["samples"], made.directory, entry["evidence"])
        figures = page.split('<figure class="tr-chart">')[1:]
        (self.figure,) = [part for part in figures if f'href="#tr-{clause}"' in part]
        source = self.figure[self.figure.index("<svg") : self.figure.index("</svg>") + 6]
        self.svg = ET.fromstring(source)
        self.axes: dict[str, list[dict[str, str]]] = {"x": [], "y": []}
        for scale in self.svg.iter("g"):
            self.axes[scale.attrib["data-axis"]].append(scale.attrib)

    def value(self, which: str, place: float, panel: int = 0) -> float:
        """What a place in the picture stands for."""
        axis = self.axes[which][panel]
        low, high, start, end = (
            float(axis[f"data-{key}"]) for key in ("low", "high", "start", "end")
        )
        share = (place - start) / (end - start)
        if axis["data-scale"] == "log":
            return low * (high / low) ** share
        return low + share * (high - low)

    def marks(self, tag: str, css: str) -> list[dict[str, str]]:
        return [
            mark.attrib
            for mark in self.svg.iter(tag)
            if css in mark.attrib.get("class", "").split()
        ]

    def near(self, which: str, place: str, value: float, panel: int = 0) -> bool:
        """Whether a place stands for the value, to a hundredth of a pixel."""
        axis = self.axes[which][panel]
        size = abs(float(axis["data-end"]) - float(axis["data-start"]))
        span = float(axis["data-high"]) - float(axis["data-low"])
        if axis["data-scale"] == "log":
            span = value * math.log(float(axis["data-high"]) / float(axis["data-low"]))
        return abs(self.value(which, float(place), panel) - value) <= 0.01 * span / size


def test_throughput_against_concurrency(made: Any) -> None:
    evidence = made.evidence("LAT-01")
    loads, rates = [1, 2, 4, 8, 16, 32], [91, 178.5, 330, 455, 480, 470]
    p50, p95 = [11, 11.2, 12, 17, 33, 67], [12, 13, 16, 26, 49, 98]
    evidence.series(
        "throughput", "requests/s", x=loads, y=rates, x_name="concurrency", budget=300.0,
        more={"p50": ("ms", p50), "p95": ("ms", p95)},
    )  # fmt: skip
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    drawn = Drawn(made, "LAT-01")
    assert drawn.entries[0]["value"] == 480
    points = drawn.marks("circle", "tr-point")
    for name, panel, row in (("throughput", 0, rates), ("p50", 1, p50), ("p95", 1, p95)):
        mine = [point for point in points if point["data-name"] == name]
        assert [float(point["data-x"]) for point in mine] == loads
        assert [float(point["data-y"]) for point in mine] == row
        for point, load, value in zip(mine, loads, row, strict=True):
            assert drawn.near("x", point["cx"], load, panel)
            assert drawn.near("y", point["cy"], value, panel)
    (budget,) = drawn.marks("line", "tr-budget")
    assert drawn.near("y", budget["y1"], 300.0)
    for said in ("concurrency", "throughput (requests/s)", "p95 (ms)", "budget 300 requests/s"):
        assert said in drawn.figure, said
    assert "n = 6 points" in drawn.figure


def test_latencies(made: Any) -> None:
    rng = random.Random(2)
    latencies = [math.exp(rng.gauss(2.4, 0.3)) for _ in range(3000)]
    evidence = made.evidence("LAT-01")
    evidence.latency(latencies, budgets={"p95": 21.0})
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    drawn = Drawn(made, "LAT-01")
    kept = drawn.series.y
    assert len(kept) == 3000
    bars = drawn.marks("rect", "tr-bar")
    assert sum(int(bar["data-y"]) for bar in bars) == 3000
    for bar in bars:
        low, high = float(bar["data-from"]), float(bar["data-to"])
        assert int(bar["data-y"]) == sum(low <= value < high for value in kept)
        assert drawn.near("x", bar["x"], low)
        assert drawn.near("y", bar["y"], int(bar["data-y"]))
    shown = {line["data-name"]: line for line in drawn.marks("line", "tr-value")}
    for entry in drawn.entries:
        line = shown[entry["name"]]
        assert float(line["data-value"]) == entry["value"]
        assert drawn.near("x", line["x1"], entry["value"])
    (budget,) = drawn.marks("line", "tr-budget")
    assert drawn.near("x", budget["x1"], 21.0)
    assert "latency (ms), logarithmic" in drawn.figure


def test_percentiles_over_time(made: Any) -> None:
    evidence = made.evidence("LAT-01")
    evidence.series(
        "over time", "ms", x=[0.5, 1, 1.5], y=[4, 9, 5], kind="times", x_name="time", x_unit="s",
        y_name="p50", more={"p95": ("ms", [6, 19, 8])}, budget=12.0,
    )  # fmt: skip
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    drawn = Drawn(made, "LAT-01")
    points = drawn.marks("circle", "tr-point")
    read_back = [
        (p["data-name"], round(drawn.value("x", float(p["cx"])), 2),
         round(drawn.value("y", float(p["cy"])), 2))
        for p in points
    ]  # fmt: skip
    assert read_back == [
        ("p50", 0.5, 4), ("p50", 1, 9), ("p50", 1.5, 5),
        ("p95", 0.5, 6), ("p95", 1, 19), ("p95", 1.5, 8),
    ]  # fmt: skip
    (budget,) = drawn.marks("line", "tr-budget")
    assert drawn.near("y", budget["y1"], 12.0)
    assert "n = 3 windows" in drawn.figure


def test_values_at_moments_lie_evenly(made: Any) -> None:
    evidence = made.evidence("LAT-01")
    evidence.series(
        "Requests", "requests/s", x=[0.5, 1, 8, 16], y=[4, 9, 5, 6], kind="moments",
        x_name="time", x_unit="s", y_name="mlp", more={"cnn": ("requests/s", [0, 1, 2, 3])},
        better="none",
    )  # fmt: skip
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    drawn = Drawn(made, "LAT-01")
    points = drawn.marks("circle", "tr-point")
    assert {float(point["r"]) for point in points} == {1.6}
    read_back = [round(drawn.value("x", float(point["cx"])), 1) for point in points[:4]]
    assert read_back == [0.5, 1, 8, 16]
    assert "values at 4 moments" in drawn.figure
    assert "n = 4 points" in drawn.figure


def test_pairs(made: Any) -> None:
    ratios = [1.9, 2.2, 2.05, 1.7]
    evidence = made.evidence("BAT-03")
    evidence.pairs("gain", ratios, 2.0, interval=(1.8, 2.2), budget=1.3)
    made.pass_all()
    made.replace("BAT-03", evidence=evidence)
    drawn = Drawn(made, "BAT-03")
    dots = drawn.marks("circle", "tr-dot")
    assert [float(dot["data-y"]) for dot in dots] == ratios
    assert all(drawn.near("y", dot["cy"], ratio) for dot, ratio in zip(dots, ratios, strict=True))
    assert [round(drawn.value("x", float(dot["cx"]))) for dot in dots] == [1, 2, 3, 4]
    (value,), (budget,) = drawn.marks("line", "tr-value"), drawn.marks("line", "tr-budget")
    assert drawn.near("y", value["y1"], 2.0)
    assert drawn.near("y", budget["y1"], 1.3)
    (band,) = drawn.marks("rect", "tr-interval")
    assert drawn.near("y", band["y"], 2.2)
    assert drawn.near("y", str(float(band["y"]) + float(band["height"])), 1.8)


def test_batches(made: Any) -> None:
    executions = {1: 12, 2: 0, 4: 30, 8: 210}
    evidence = made.evidence("BAT-02")
    evidence.batches(executions, budget=2)
    made.pass_all()
    made.replace("BAT-02", evidence=evidence)
    drawn = Drawn(made, "BAT-02")
    mean = (12 + 120 + 1680) / 252
    assert drawn.entries[0]["value"] == pytest.approx(mean)
    bars = drawn.marks("rect", "tr-bar")
    assert {int(bar["data-x"].split(".")[0]): float(bar["data-y"]) for bar in bars} == {
        1: 12, 4: 30, 8: 210,
    }  # fmt: skip
    for bar in bars:
        middle = float(bar["x"]) + float(bar["width"]) / 2
        assert drawn.near("x", str(middle), float(bar["data-x"]))
        assert drawn.near("y", bar["y"], float(bar["data-y"]))
    (value,), (budget,) = drawn.marks("line", "tr-value"), drawn.marks("line", "tr-budget")
    assert drawn.near("x", value["x1"], mean)
    assert drawn.near("x", budget["x1"], 2)
    assert "n = 252 executions" in drawn.figure


def test_stages(made: Any) -> None:
    parts = {"queue": 3.0, "compute input": 0.1, "compute infer": 6.0, "overhead": 0.9}
    evidence = made.evidence("LAT-01")
    evidence.stages(
        parts, y_name="concurrency 1", rows={"concurrency 8": {"queue": 9.0, "overhead": 1.0}}
    )
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    drawn = Drawn(made, "LAT-01")
    bars = [bar for bar in [b.attrib for b in drawn.svg.iter("rect")] if "data-row" in bar]
    of_first = [bar for bar in bars if bar["data-row"] == "concurrency 1"]
    assert {bar["data-name"]: float(bar["data-y"]) for bar in of_first} == parts
    begin = 0.0
    for bar in of_first:
        assert drawn.near("x", bar["x"], begin)
        begin += float(bar["data-y"])
        assert drawn.near("x", str(float(bar["x"]) + float(bar["width"])), begin)
    second = {b["data-name"]: float(b["data-y"]) for b in bars if b["data-row"] == "concurrency 8"}
    assert second == {"queue": 9, "compute input": 0, "compute infer": 0, "overhead": 1}


def test_matrix(made: Any) -> None:
    evidence = made.evidence("LAT-01")
    rows = {"TritonDown": [0, 1, 0], "TritonErrors": [2, 3, 0]}
    evidence.matrix(["well", "down", "repaired"], rows, "alerts that notice", 1, "alerts")
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    drawn = Drawn(made, "LAT-01")
    cells = [one.attrib for one in drawn.svg.iter("rect") if "data-row" in one.attrib]
    read = {
        name: [int(float(c["data-y"])) for c in cells if c["data-row"] == name] for name in rows
    }
    assert read == rows
    assert [c["data-x"] for c in cells[:3]] == ["well", "down", "repaired"]
    assert {c["class"] for c in cells} == {
        "tr-cell tr-cell-quiet", "tr-cell tr-cell-right", "tr-cell tr-cell-wrong",
        "tr-cell tr-cell-missing",
    }  # fmt: skip


@pytest.mark.parametrize("value", [-1, 4, 0.5])
def test_a_cell_that_says_nothing(tmp_path: Path, value: float) -> None:
    samples = {"kind": "matrix", "x": ["a"], "y": [value]}
    entry = {"name": "s", "unit": "alerts", "value": 1, "samples": samples}
    assert charts.draw(entry, tmp_path, []).empty == "the samples do not fit on one axis"


def test_a_waterfall(made: Any) -> None:
    evidence = made.evidence("LAT-01")
    parts = [("InferRequest", 0.0, 9.5), ("queue", 0.5, 3.0), ("· infer", 3.5, 6.0)]
    evidence.waterfall("a request", [*parts, ("· queue", 9.5, 0.0)])
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    drawn = Drawn(made, "LAT-01")
    assert drawn.entries[0]["value"] == 9.5
    bars = [bar.attrib for bar in drawn.svg.iter("rect") if "data-name" in bar.attrib]
    for bar, (name, begin, lasts) in zip(bars, parts, strict=False):
        assert (bar["data-name"], float(bar["data-x"]), float(bar["data-y"])) == (
            name,
            begin,
            lasts,
        )
        assert drawn.near("x", bar["x"], begin)
        assert drawn.near("x", str(float(bar["x"]) + float(bar["width"])), begin + lasts)
    assert float(bars[3]["width"]) > 1, "what takes no time is seen, too"
    # One row below the other; parts of an execution have the colours of a chart of stages.
    assert [float(bar["y"]) for bar in bars] == sorted({float(bar["y"]) for bar in bars})
    assert [bar["class"][-1] for bar in bars] == ["1", "1", "4", "2"]
    assert "n = 4 spans" in drawn.figure


def test_a_waterfall_of_too_many_spans_says_so(tmp_path: Path) -> None:
    samples = {
        "kind": "waterfall", "x": ["s"] * 70, "y": [1.0] * 70,
        "more": [{"name": "begin", "unit": "ms", "y": list(range(70))}],
    }  # fmt: skip
    picture = charts.draw({"name": "s", "unit": "ms", "value": 1, "samples": samples}, tmp_path, [])
    assert isinstance(picture, Picture)
    assert picture.beyond == "10 more spans are not shown"


def test_a_picture_says_what_it_is_to_those_who_do_not_see_it(made: Any) -> None:
    evidence = made.evidence("BAT-02")
    evidence.batches({1: 2, 4: 3})
    made.pass_all()
    made.replace("BAT-02", evidence=evidence)
    svg = Drawn(made, "BAT-02").svg
    assert (svg[0].tag, svg[0].text) == ("title", "mean batch in rows")
    assert svg[1].tag == "desc"
    assert "5 executions of 2 batch sizes" in str(svg[1].text)
    assert svg.attrib["role"] == "img"


SERIES: dict[str, dict[str, Any]] = {
    "no values": {"kind": "curve", "x": [], "y": []},
    "no places": {"kind": "batches", "y": [1, 2]},
    "nothing finite": {"kind": "pairs", "x": [1], "y": [None]},
    "no names": {"kind": "stages", "y": [1.0]},
    "no columns": {"kind": "matrix", "y": [1.0]},
    "no beginnings": {"kind": "waterfall", "x": ["a"], "y": [1.0]},
    "no spans": {"kind": "waterfall", "y": [1.0], "more": [{"y": [1.0]}]},
}


@pytest.mark.parametrize("samples", SERIES.values(), ids=SERIES)
def test_an_empty_series_says_no_data(tmp_path: Path, samples: dict[str, Any]) -> None:
    entry = {"name": "s", "unit": "ms", "value": None, "samples": samples}
    assert charts.draw(entry, tmp_path, []).empty == "no data"


@pytest.mark.parametrize(
    "samples",
    [
        {"kind": "curve", "x": [1], "y": [0]},
        {"kind": "curve", "x": [1, 1, 1], "y": [5, 5, 5]},
        {"kind": "curve", "x": [-1e9, 1e9], "y": [-3, 1e-9]},
        {"kind": "times", "x": [0, 1e-6], "y": [1e12, 1e12]},
        {"kind": "pairs", "y": [1.0]},
        {"kind": "pairs", "x": list(range(200)), "y": [float(i % 7) for i in range(200)]},
        {"kind": "batches", "x": [0], "y": [0]},
        {"kind": "batches", "x": [1, 4096], "y": [1, 10**9]},
        {"kind": "stages", "x": ["a", "b"], "y": [0, 0]},
        {"kind": "stages", "x": ["a"], "y": [-4.0]},
        {"kind": "matrix", "x": ["a" * 99] * 30, "y": [0] * 30, "y_name": "n" * 200},
        {"kind": "waterfall", "x": ["a", "b"], "y": [0, 1e9], "more": [{"y": [-5, 1e-9]}]},
        {"kind": "waterfall", "x": ["a"], "y": [-4.0], "more": [{"y": [0.0]}]},
        {"kind": "curve", "x": [1e-320, 1e300], "y": [1e-320, 1e308]},
    ],
)
def test_odd_series_stay_inside_the_picture(tmp_path: Path, samples: dict[str, Any]) -> None:
    entry = {"name": "s", "unit": "ms", "value": 1.0, "budget": 2.0, "samples": samples}
    picture = charts.draw(entry, tmp_path, [])
    assert isinstance(picture, Picture)
    assert picture.empty in ("", "the samples do not fit on one axis")
    for mark in picture.marks:
        for key in ("x", "x1", "x2", "cx"):
            assert 0 <= float(mark.attributes.get(key, 0)) <= picture.width, mark
        for key in ("y", "y1", "y2", "cy"):
            assert 0 <= float(mark.attributes.get(key, 0)) <= picture.height, mark
