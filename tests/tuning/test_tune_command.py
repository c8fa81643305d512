"""pytest-triton tune on a real server: a model without batching gets it, and nothing by luck."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli
from pytest_triton.launch.store import install
from pytest_triton.repository.config import parse_config
from pytest_triton.repository.reference import build_reference
from pytest_triton.tuning.candidates import Candidate, alternatives, configured

CONFIG = 'name: "m"\nmax_batch_size: 8\n'


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tune") / "models"
    build_reference(place)
    config = place / "mlp" / "config.pbtxt"
    config.write_text(re.sub(r"(?m)^dynamic_batching.*$", "", config.read_text()))
    return place


def test_a_model_that_does_not_batch_is_found_out(repository: Path, tmp_path: Path) -> None:
    install()
    before = (repository / "mlp" / "config.pbtxt").read_text()
    written, page = tmp_path / "tune.json", tmp_path / "tune.html"
    done = subprocess.run(
        [sys.executable, "-m", "pytest_triton.cli", "tune", str(repository), "--model", "mlp",
         "--seconds", "0.4", "--levels", "1,16", "--instances", "1", "--device", "cpu",
         "--settings", "batching,preferred",
         "--json", str(written), "--html", str(page)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(written.read_text())
    assert not made["before"]["batching"]
    assert made["trials"][0]["stage"] == "batching"
    assert made["trials"][0]["mean_batch"] > 1
    if made["trials"][0]["taken"]:  # a machine that is very busy may not show it
        assert made["best"]["batching"]
        assert "dynamic_batching {" in done.stdout
    assert not made["refused"]
    assert [point["concurrency"] for point in made["curves"]["before"]] == [1, 16]
    html = page.read_text()
    assert "<svg" in html
    assert made["trials"][0]["candidate"]["title"] in html
    assert (repository / "mlp" / "config.pbtxt").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "nope"], "has no config.pbtxt"),
        (["--model", "generator"], "takes sequences or streams"),
    ],
)
def test_what_cannot_be_tuned(repository: Path, arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, ["tune", str(repository), *arguments])
    assert told in str(done.exception)


def test_configurations_are_read_and_written() -> None:
    config = parse_config(
        CONFIG
        + "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 100 }"
        "\ninstance_group [ { kind: KIND_CPU count: 2 } ]"
    )
    found = configured(config)
    assert found == Candidate(2, True, 100, (4,))
    Candidate(3, False).edit(config)
    assert configured(config) == Candidate(3, False)
    assert config.instance_group[0].kind == 2
    found.edit(config)
    assert configured(config) == found
    again = parse_config(CONFIG + found.snippet())
    assert configured(again) == found
    assert configured(parse_config(CONFIG)) == Candidate(1, False)


def test_alternatives_are_other_values_of_one_setting() -> None:
    best = Candidate(1, True)
    assert [one.instances for one in alternatives(best, "instances", most=8, counts=(1, 2, 4))] == [
        2,
        4,
    ]
    assert [one.delay_us for one in alternatives(best, "delay", most=8, counts=())] == [
        100,
        500,
        2000,
    ]
    preferred = [one.preferred for one in alternatives(best, "preferred", most=8, counts=())]
    assert preferred == [(8,), (4,), (2, 4)]
    assert list(alternatives(Candidate(1, False), "delay", most=8, counts=())) == []
    assert list(alternatives(Candidate(1, False), "batching", most=0, counts=())) == []
    assert [one.batching for one in alternatives(best, "batching", most=8, counts=())] == [False]
