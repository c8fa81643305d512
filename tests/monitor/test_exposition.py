"""Our reader of the text format finds what prometheus-client finds, and refuses more."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pytest_triton.factory import ServerFactory
from pytest_triton.monitor.metrics import Scrape, parse, scrape
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.probe_set import CACHED, FAILING, SERVER_FLAGS, write_probes

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def theirs(text: str) -> tuple[Samples, dict[str, tuple[str, str]]]:
    """Without its types prometheus-client leaves the names of samples alone."""
    samples = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    found = {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in text_string_to_metric_families(samples)
        for sample in family.samples
    }
    described = {
        family.name: (family.type.replace("unknown", "untyped"), family.documentation)
        for family in text_string_to_metric_families(text)
    }
    return found, described


def ours(read: Scrape) -> tuple[Samples, dict[str, tuple[str, str]]]:
    found = {
        (name, frozenset(key)): value for name, of in read.series.items() for key, value in of.items()
    }  # fmt: skip
    described = {
        name.removesuffix("_total") if family.type == "counter" else name: (
            family.type,
            family.help,
        )
        for name, family in read.families.items()
    }
    return found, described


def same(text: str) -> None:
    read = parse(text)
    (one, described), (other, told) = ours(read), theirs(text)
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value == other[key] or (math.isnan(value) and math.isnan(other[key])), key
    assert described == told
    assert not read.problems


def test_a_real_page(triton_server_factory: ServerFactory, tmp_path: Path) -> None:
    flags = (*SERVER_FLAGS, "--metrics-config=summary_latencies=true")
    server = triton_server_factory(
        write_probes(tmp_path / "models"), (CACHED, FAILING), auto_complete=False, server_args=flags
    )
    with HttpProbe(server.http_url) as probe:
        for _ in range(2):
            probe.infer(CACHED, {"IN": np.array([1], np.int32)})
    text = scrape(str(server.metrics_url)).text
    assert "Nan" in text
    assert 'quantile="0.5"' in text
    same(text)
    triton_server_factory.stop(server)


VALUES = [
    "0",
    "-1",
    "1e3",
    "1.5E-7",
    "+Inf",
    "-Inf",
    "NaN",
    "Nan",
    ".5",
    "7.",
    "123456789012345678",
]
TEXTS = (
    "", "a", "é = {1}", "x,y", "}", "{", "a b", 'q\\"uo', "back\\\\slash", "new\\nline", "#",
)  # fmt: skip
HELPS = ("Help", "Two  words", "a \\\\ b", "c\\nd")


def generated(rng: random.Random) -> str:
    """A page with everything in it that the format allows."""

    def blank(least: int = 0) -> str:
        return "".join(rng.choice(" \t") for _ in range(rng.randint(least, 2)))

    lines = []
    for number in range(rng.randint(1, 5)):
        name = rng.choice(["a", "nv_x", "_b:c", "D9"]) + str(number)
        lines.append(f"# HELP {name} {rng.choice(HELPS)}")
        lines.append(f"# TYPE {name} {rng.choice(['counter', 'gauge', 'untyped'])}")
        for at in range(rng.randint(1, 6)):
            labels = [f'n="{at}"'] + [
                f'{blank()}{label}{blank()}={blank()}"{rng.choice(TEXTS)}"{blank()}'
                for label in rng.sample(["x", "_y", "model"], rng.randint(0, 3))
            ]
            rng.shuffle(labels)
            inner = ",".join(labels) + rng.choice(["", ","])
            stamp = rng.choice(["", f"{blank(1)}1700000000000"])
            lines.append(
                f"{name}{blank()}{{{inner}}}{blank(1)}{rng.choice(VALUES)}{stamp}{blank()}"
            )
        if rng.random() < 0.3:
            lines += ["", "# a remark", "   "]
    return "\n".join(lines) + "\n"


def test_generated_pages() -> None:
    for seed in range(300):
        text = generated(random.Random(seed))
        try:
            same(text)
        except (AssertionError, MalformedAnswer) as error:
            raise AssertionError(f"seed {seed}: {error}\n{text}") from None


@pytest.mark.parametrize(
    "line",
    [
        'a{x="1",x="2"} 1', 'a{x="\\q"} 1', 'a{x="1"y="2"} 1', 'a{x="1",,y="2"} 1', 'a{,x="1"} 1',
        'a{x="1"} 1 2 3', 'a{x="1"} 1 soon', 'a{x="1"} 0x10', 'a{x="1"}', 'a{x="1} 1', 'a{1x="1"} 1',
        'a{x="1"', "a{} one", "a 1,5", "a 1e", "a --1", "a\x00 1", "ä 1", 'a{x="1"}} 1',
    ],
)  # fmt: skip
def test_what_a_strict_reader_refuses(line: str) -> None:
    with pytest.raises(MalformedAnswer, match="line 2"):
        parse(f"b 1\n{line}\n")


def test_a_page_that_is_cut_off_anywhere_is_noticed() -> None:
    text = generated(random.Random(5))
    for length in range(1, len(text)):
        if text[length - 1] == "\n":
            continue  # whole lines: nobody can tell
        try:
            problems = parse(text[:length]).problems
        except MalformedAnswer:
            continue
        assert problems or not text[:length].split("\n")[-1].strip(" \t"), text[:length]
