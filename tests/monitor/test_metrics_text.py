"""Metrics text: what a strict reader refuses, what counts, and differences between scrapes."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from pytest_triton.monitor.metrics import delta, parse, scrape
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer, RequestFailed

sys.path.append(str(Path(__file__).parents[1] / "probe"))
from stub_server import http, says, stalls, stub_server

TEXT = """\
# HELP n_ok Good requests, a \\\\ and a\\nline
# TYPE n_ok counter
n_ok{model="a",version="1"} 5
n_ok{version="1",model="b"} 7
# a remark
# HELP n_bad Bad ones
# TYPE n_bad counter
n_bad{model="a",reason="OTHER"} 1
n_bad{model="a",reason="REJECTED"} 2
# HELP depth Waiting
# TYPE depth gauge
depth 3
# HELP took Time
# TYPE took summary
took{quantile="0.5"} Nan
took_sum 0
took_count 0
# HELP first First response
# TYPE first histogram
first_bucket{le="100"} 1
first_bucket{le="+Inf"} 2
first_sum 300
first_count 2
"""


def test_reads_families_series_and_values() -> None:
    read = parse(TEXT)
    assert read.problems == ()
    assert list(read.families) == ["n_ok", "n_bad", "depth", "took", "first"]
    assert read.families["n_ok"].type == "counter"
    assert read.families["n_ok"].help == "Good requests, a \\ and a\nline"
    assert read.value("n_ok", model="b") == 7  # whatever the order of the labels
    assert read.value("n_ok") == 12
    assert read.value("n_ok", model="c") is None
    assert read.value("n_ok_total") is None  # the name is the one in the text
    assert read.value("n_bad", model="a") == 3
    assert read.value("n_bad", model="a", reason="REJECTED") == 2
    assert math.isnan(read.value("took", quantile="0.5") or 0)
    assert [sample.labels["le"] for sample in read.samples("first_bucket")] == ["100", "+Inf"]
    assert read.samples("nothing") == []
    assert read.family_of("first_bucket") == "first"
    assert read.family_of("depth") == "depth"


def test_labels_with_everything_in_them() -> None:
    read = parse('x{a="q\\"uo,te}",b="back\\\\slash",c="é = {1}",d=""} 1e3\n')
    assert read.samples("x")[0].labels == {
        "a": 'q"uo,te}', "b": "back\\slash", "c": "é = {1}", "d": "",
    }  # fmt: skip
    assert read.value("x", a='q"uo,te}') == 1000


@pytest.mark.parametrize(
    ("text", "says_so"),
    [
        ("# HELP a b\n# HELP a b\na 1\n", "line 2: HELP of a comes twice"),
        ("# TYPE a gauge\n# TYPE a gauge\na 1\n", "line 2: TYPE of a comes twice"),
        ('a{x="1",y="2"} 1\na{y="2",x="1"} 1\n', 'line 2: a{x="1",y="2"} comes twice'),
        ("a 1\n# TYPE a counter\n", "line 2: TYPE of a comes after its samples"),
        ("a 1\nb 1\na 2\n", "line 3: the lines of a do not stand together"),
        ("# TYPE a counter\n# TYPE b counter\na 1\nb 1\n", "line 3: the lines of a do not"),
        ("a 1\nb 2", "line 2: no end of line"),
    ],
)
def test_problems_that_a_lax_parser_hides(text: str, says_so: str) -> None:
    problems = parse(text).problems
    assert any(problem.startswith(says_so) for problem in problems), problems


@pytest.mark.parametrize(
    "text",
    ["<html>\n", "a\n", "a b\n", 'a{x="1"\n', "1a 3\n", "# TYPE a sometimes\n", "# TYPE 1a gauge\n",
     "a{x=1} 2\n", 'a{="1"} 2\n', "a 1_000\n"],
)  # fmt: skip
def test_what_is_no_metrics(text: str) -> None:
    with pytest.raises(MalformedAnswer, match="line 1"):
        parse(text)


def test_empty_text_is_an_empty_scrape() -> None:
    assert parse("").families == {}
    assert parse("").problems == ()


def test_differences() -> None:
    before, after = parse(TEXT), parse(
        TEXT.replace('version="1"} 5', 'version="1"} 6').replace("depth 3", "depth 1")
        .replace('# HELP n_bad', 'n_ok{model="new",version="1"} 4\n# HELP n_bad')
    )  # fmt: skip
    moved = delta(before, after)
    assert moved.value("n_ok", model="a") == 1
    assert moved.value("n_ok", model="b") == 0
    assert moved.value("n_ok", model="new") == 4  # missing before counts from 0
    assert moved.value("n_ok") == 5
    assert moved.value("depth") == -2
    assert moved.value("nothing") == 0
    assert moved.reset == moved.gone == ()
    assert moved.changed() == {
        'n_ok{model="a",version="1"}': 1, 'n_ok{model="new",version="1"}': 4,
    }  # fmt: skip


def test_resets_and_vanished_series_are_told() -> None:
    lines = TEXT.replace('version="1"} 5', 'version="1"} 2').splitlines(keepends=True)
    text = "".join(line for line in lines if "REJECTED" not in line)
    moved = delta(parse(TEXT), parse(text.replace("first_count 2", "first_count 1")))
    assert moved.reset == ("first_count", 'n_ok{model="a",version="1"}')
    assert moved.gone == ('n_bad{model="a",reason="REJECTED"}',)
    assert moved.value("n_ok", model="a") == 2  # counts from 0, as Prometheus does


def test_a_gauge_may_fall() -> None:
    text = "# TYPE depth gauge\ndepth {}\n"
    moved = delta(parse(text.format(3)), parse(text.format(1)))
    assert moved.reset == ()
    assert moved.changed() == {}


def test_scrape_adds_the_path_and_keeps_another() -> None:
    answer = http(b"a 1\n", headers="Content-Type: text/plain; charset=utf-8\r\n")
    with stub_server(says(answer)) as stub:
        read = scrape(stub.url)
        scrape(f"{stub.url}/triton/metrics?x=1", headers=[("X-Key", "k")])
    assert read.value("a") == 1
    assert read.content_type == "text/plain; charset=utf-8"
    assert stub.requests[0].startswith(b"GET /metrics HTTP")
    assert stub.requests[1].startswith(b"GET /triton/metrics?x=1 HTTP")
    assert b"X-Key: k\r\n" in stub.requests[1]


def test_scrapes_that_fail() -> None:
    with stub_server(says(http(b"no", 404))) as stub, pytest.raises(RequestFailed, match="404"):
        scrape(stub.url)
    with stub_server(says(http(b"a\xff 1\n"))) as stub, pytest.raises(MalformedAnswer, match="UTF"):
        scrape(stub.url)
    huge = says(http(b"", length=10 * 2**30))
    with stub_server(huge) as stub, pytest.raises(ConnectionFailed, match="announces"):
        scrape(stub.url)
    with (
        stub_server(stalls()) as stub,
        pytest.raises(ConnectionFailed, match="no whole answer within"),
    ):
        scrape(stub.url, timeout=0.2)
