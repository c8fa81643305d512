"""The page: what it says, that it is self-contained, and that no name of a subject acts in it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli
from pytest_triton.criteria import Status
from pytest_triton.reports import charts, render, text

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "]]> --> </style></script><b>",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b1m",
    "NUL \x00 bell \x07 back \x08",
    "\u202eturned around\u202c \u2066x",
    "lone \ud800 surrogate",
    "x" * 1_000_000,
)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of style and script."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("style", "script"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def page(rich: Any) -> Page:
    return Page(render.page(rich.report(), rich.directory))


def test_it_says_what_the_report_says(page: Page, rich: Any) -> None:
    for word in (
        "No level reached",
        "of 100 points",
        "Exit status 1",
        "reference repository",
        "Triton 2.51.0 (24.10), embedded, CPU",
        "362571475",
        "1 min 22 s",
        "booting 3.2 s",
        "ready in 3.62 s, HTTP, gRPC and metrics answer, clean log",
        "nv_inference_request_failure rose by 0",
        "model_repository/mlp/config.pbtxt:12",
        "Model versioned did not load",
        "gain 4.1× [3.83, 4.37]",
    ):
        assert word in page.text, word
    for clause in rich.card.catalogue.clauses.values():
        assert clause.id in page.text
        assert re.sub(r"\s+", " ", clause.must) in page.text
    rows = [attrs for tag, attrs in page.tags if tag == "tr" and "data-status" in attrs]
    assert len(rows) == len(rich.card.catalogue.clauses)


def test_the_same_report_gives_the_same_bytes(rich: Any) -> None:
    report = rich.report()
    assert render.page(report, rich.directory) == render.page(report, rich.directory)


def test_it_is_self_contained(page: Page) -> None:
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base"), tag
        assert "src" not in attrs, tag
        if href := attrs.get("href"):
            assert href.startswith(("#tr-", "./")), href


def test_evidence_is_linked(page: Page, rich: Any) -> None:
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert "./evidence/LAT-01/latency.samples.json.gz" in links
    assert "./report.json" in links
    for link in links:
        if link and link.startswith("./"):
            assert (rich.directory / link).is_file(), link


def test_links_from_elsewhere(rich: Any, tmp_path: Path) -> None:
    there = tmp_path / "a b" / "c"
    base = render.base_url(there, rich.directory)
    source = Page(render.page(rich.report(), rich.directory, base=base))
    links = [attrs["href"] for tag, attrs in source.tags if tag == "a"]
    assert "../../triton-report/evidence/LAT-01/latency.samples.json.gz" in links


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:24]))
def test_hostile_text_stays_text(made: Any, name: str) -> None:
    made.pass_all()
    evidence = made.evidence("LAT-01")
    evidence.measure(name[:500], 1.0, name[:500], budget=2, samples=[1.0, 2.0])
    evidence.locate(name, 3)
    made.replace("LAT-01", evidence=evidence)
    made.replace("SET-02", Status.FAIL, name, model=name, nodeid=f"test_x.py::test_y[{name}]")
    made.card.subject = {
        "subject": {
            "kind": "repository", "urls": {"http": name}, "repository": name,
            "models": [name], "ready": {name: ["1"]}, "failed": {name: name},
        },
        "environment": {"server": {"name": name, "version": name, "extensions": [name]}},
    }  # fmt: skip
    report = made.report(notes=[name], command=["pytest", name])
    plain = Page(render.page({**report}, made.directory))
    allowed = {tag for tag, _ in Page(render.page(made.report(), made.directory)).tags}
    for source in (
        render.page(report, made.directory),
        render.blocks(report, made.directory),
    ):
        source.encode("utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", source)
        assert len(source) < 1_000_000
        shown = Page(source)
        assert sum(tag == "script" for tag, _ in shown.tags) == 1
        assert sum(tag == "style" for tag, _ in shown.tags) == 1
        assert {tag for tag, _ in shown.tags} <= allowed
        for _, attrs in shown.tags:
            assert not [key for key in attrs if key.startswith("on")]
    if len(name) < 1000:
        assert re.sub(r"\s+", " ", text.clean(name)).strip() in plain.text
    else:
        assert "characters in all" in plain.text


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "javascript:alert(1)", "https://x.example/", "a\\b", ".."],
)
def test_links_that_lead_out_are_no_links(rich: Any, path: str) -> None:
    report = rich.report()
    report["clauses"][0]["evidence"] = [{"path": path, "sha256": "0" * 64}]
    shown = Page(render.page(report, rich.directory))
    assert all(attrs.get("href", "#tr-").startswith(("#tr-", "./")) for _, attrs in shown.tags)
    assert path in shown.text


# -- charts ----------------------------------------------------------------------------------


def drawn(directory: Path, samples: Any, **more: Any) -> charts.Chart:
    directory.mkdir(exist_ok=True)
    data = samples if isinstance(samples, bytes) else json.dumps(samples).encode()
    (directory / "s.json").write_bytes(data)
    entry = {"name": "latency", "unit": "ms", "value": 2.0, "samples": "s.json", **more}
    digest = hashlib.sha256(data).hexdigest()
    return charts.draw(entry, directory, [{"path": "s.json", "sha256": digest}])


@pytest.mark.parametrize(
    "samples",
    [
        [1.0], [2, 2, 2], [1, 2, 3] * 3, [-5.0, 5.0], [0.0, 1e-12], [1e12, 1e12 + 1],
        [float(i % 37) for i in range(500)], [1.0] * 400 + [1000.0], [0.0] * 100,
    ],
)  # fmt: skip
def test_charts_stay_inside(tmp_path: Path, samples: list[float]) -> None:
    value = sorted(samples)[len(samples) // 2]
    chart = drawn(tmp_path, samples, value=value, budget=value + 1, interval=[value, value])
    assert chart.empty == ""
    assert chart.n == len(samples)
    assert 2 <= len(chart.ticks) <= 14
    assert len({label for _, label in chart.ticks}) > 1 or value > 1e11
    places = [x for x, *_ in [*chart.ticks, *chart.dots, *chart.bars]]
    places += [chart.value.x, chart.budget.x, *(chart.box or ()), *chart.interval]  # type: ignore
    assert all(chart.left - 1 <= x <= chart.right + 1 for x in places)
    assert all(chart.ceiling - 5 <= y <= chart.floor for _, y, _ in chart.dots)
    told = re.search(r"(\d+) beyond", chart.beyond)
    if chart.dots:
        assert len(chart.dots) == len(samples)
    else:
        assert chart.bars
        assert chart.bars[0][3] >= 0
        assert (int(told[1]) if told else 0) < len(samples)


def test_a_far_tail_is_counted_at_the_edge(tmp_path: Path) -> None:
    chart = drawn(tmp_path, [1 + i / 1000 for i in range(1000)] + [500.0])
    assert "1 beyond the axis, up to 500 ms" in chart.beyond


def test_a_far_budget_is_named_at_the_edge(tmp_path: Path) -> None:
    chart = drawn(tmp_path, [1.0, 2.0, 3.0], budget=120.0)
    assert chart.budget is not None
    assert (chart.budget.beyond, chart.budget.label) == (True, "budget 120 ms →")


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ([], "no data"),
        ([math.nan, math.inf], "no data"),
        (b"{}", "no list of numbers"),
        (b'["1"]', "no list of numbers"),
        (b"[true]", "no list of numbers"),
        (b"[" * 100_000, "no list of numbers"),
        (b"\xff\xfe", "no list of numbers"),
        ([-1.7e308, 1.7e308], "do not fit on one axis"),
    ],
)
def test_nothing_to_draw_says_why(tmp_path: Path, samples: Any, why: str) -> None:
    chart = drawn(tmp_path, samples)
    assert why in chart.empty
    assert not chart.bars
    assert not chart.dots


def test_samples_are_those_of_the_report(tmp_path: Path) -> None:
    entry = {"name": "n", "unit": "ms", "value": 1, "samples": "s.json"}
    (tmp_path / "s.json").write_text("[1, 2]")
    chart = charts.draw(entry, tmp_path, [{"path": "s.json", "sha256": "0" * 64}])
    assert "not the one" in chart.empty
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "link.json").symlink_to(tmp_path / "s.json")
    for path in ("../s.json", str(tmp_path / "s.json"), "link.json"):
        chart = charts.draw({**entry, "samples": path}, tmp_path / "report", [])
        assert "leads out" in chart.empty
    chart = charts.draw({**entry, "samples": "gone.json"}, tmp_path, [])
    assert "cannot be read" in chart.empty


# -- the command -----------------------------------------------------------------------------


def test_command(rich: Any, tmp_path: Path) -> None:
    report = rich.report()
    run = CliRunner().invoke(cli, ["render", str(rich.directory / "report.json")])
    assert run.exit_code == 0, run.output
    written = (rich.directory / "report.html").read_text("utf-8")
    assert written == render.page(report, rich.directory)
    run = CliRunner().invoke(cli, ["render", str(rich.directory), "--out", "-"])
    assert run.output == written
    run = CliRunner().invoke(
        cli, ["render", str(rich.directory), "--out", str(tmp_path / "p.html")]
    )
    assert run.exit_code == 0, run.output
    assert "triton-report/evidence/LAT-01" in (tmp_path / "p.html").read_text("utf-8")


def test_command_refuses_what_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema_version": "1.0"}')
    run = CliRunner().invoke(cli, ["render", str(tmp_path)])
    assert run.exit_code == 2
    assert "is a required property" in run.output
