"""pytest-triton memory on a real server: a healthy model, and models that keep what they got."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import leaky_models
import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli

MIB = 1 << 20
COMMAND = [sys.executable, "-m", "pytest_triton.cli", "memory"]
FAST = ["--cycles", "6", "--warmup", "1", "--seconds", "0.3", "--device", "cpu"]


@dataclass(frozen=True)
class Done:
    """What a run of the command came to."""

    status: int
    out: str
    err: str
    made: dict[str, Any]
    html: str

    def model(self, name: str) -> dict[str, Any]:
        return next(model for model in self.made["models"] if model["name"] == name)

    def verdict(self, name: str, per: str) -> tuple[str, float]:
        """Of growth on the host, with the slope in MiB."""
        found = [g for g in self.model(name)["growths"] if g["per"] == per]
        assert len(found) == 1, self.out
        return found[0]["look"]["verdict"], found[0]["look"]["trend"]["slope"] / MIB


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("leaky")
    leaky_models.write(place, "healthy")
    leaky_models.write(place, "keeps_requests", execute=leaky_models.EACH_BATCH)
    leaky_models.write(place, "keeps_loads", initialize=leaky_models.EACH_LOAD)
    leaky_models.write(place, "refuses", execute=leaky_models.REFUSES)
    leaky_models.write(place, "broken", module="import no_such_module")
    return place


#: Arguments of the runs, which mostly wait for unloads and so run side by side.
RUNS = {
    "healthy": ["--batch", "1,8", "--models", "heal*", "--models", "refuses", "--instances", "1,2",
                "--inputs", "{inputs}", "--cycles", "10"],
    "requests": ["--batch", "1,4", "--models", "keeps_requests", "--models", "refuses",
                 "--models", "broken"],
    "loads": ["--batch", "1", "--models", "keeps_loads", "--headroom", "100"],
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    place = tmp_path_factory.mktemp("runs")
    (place / "inputs.json").write_text(json.dumps({"tensors": {"IN": {"low": 2e9, "high": 3e9}}}))

    def start(name: str) -> subprocess.Popen[str]:
        files = ["--json", str(place / f"{name}.json"), "--html", str(place / f"{name}.html")]
        arguments = [argument.format(inputs=place / "inputs.json") for argument in RUNS[name]]
        return subprocess.Popen(
            [*COMMAND, str(repository), *FAST, *arguments, *files],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def end(name: str, process: subprocess.Popen[str]) -> Done:
        out, err = process.communicate(timeout=400)
        assert (place / f"{name}.html").exists(), err
        made = json.loads((place / f"{name}.json").read_text())
        html = (place / f"{name}.html").read_text()
        return Done(process.returncode, out, err, made, html)

    started = {name: start(name) for name in RUNS}
    try:
        return {name: end(name, process) for name, process in started.items()}
    finally:
        for process in started.values():
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture
def healthy(runs: dict[str, Done]) -> Done:
    return runs["healthy"]


@pytest.fixture
def leaks(runs: dict[str, Done]) -> Done:
    return runs["requests"]


def test_a_healthy_model_passes(healthy: Done) -> None:
    assert healthy.status == 0, healthy.out
    assert healthy.made["verdict"] == "pass"
    assert {check["verdict"] for check in healthy.made["checks"]} == {"pass"}
    subjects = [check["subject"] for check in healthy.made["checks"]]
    assert subjects == ["host", *["healthy"] * 2, *["refuses"] * 2]
    assert healthy.html.lstrip().startswith("<!doctype html>")


def test_each_load_is_measured(healthy: Done) -> None:
    one, two = healthy.model("healthy")["loads"]
    assert [(load["instances"], load["overridden"]) for load in (one, two)] == [
        (1, False), (2, True),
    ]  # fmt: skip
    idle = [_host(load["idle"]) - _host(load["before"]) for load in (one, two)]
    assert idle[0] > 5 * MIB
    assert 1.5 * idle[0] < idle[1] < 2.5 * idle[0]  # a stub for each instance
    assert two["idle"]["processes"] - two["before"]["processes"] == 2
    for load in (one, two):
        assert [under["batch"] for under in load["under_load"]] == [1, 4]
        for under in load["under_load"]:
            assert under["requests"] > 0
            assert under["errors"] == 0
            assert len(under["samples"]["host"]) >= 3
            assert max(under["samples"]["host"]) == _host(under["peak"])
            assert _host(under["peak"]) >= _host(load["idle"]) - MIB
        assert _host(load["loading"]) > _host(load["before"]) + MIB
        assert _host(load["unloaded"]) - _host(load["before"]) < 2 * MIB
    assert "takes up to 4 rows: 4 is measured for 8" in healthy.out


def test_a_model_that_keeps_requests(leaks: Done) -> None:
    assert leaks.status == 1
    verdict, slope = leaks.verdict("keeps_requests", "1000 requests")
    assert verdict == "fail"
    assert slope == pytest.approx(500, rel=0.05)  # 1 MiB of each request of the larger batch
    assert leaks.verdict("keeps_requests", "cycle")[0] == "pass"  # its process gives it back


def test_a_model_that_keeps_something_of_each_load(runs: dict[str, Done]) -> None:
    done = runs["loads"]
    assert done.status == 1
    verdict, slope = done.verdict("keeps_loads", "cycle")
    assert verdict == "fail"
    assert 4 < slope < 16  # 4 MiB, and the interpreter of a process that is left behind
    assert done.verdict("keeps_loads", "1000 requests")[0] == "pass"


def test_too_little_room(runs: dict[str, Done]) -> None:
    (place,) = runs["loads"].made["headroom"]
    assert (place["place"], place["verdict"]) == ("host", "fail")
    assert "100% have to be" in runs["loads"].out


def test_a_model_that_does_not_load(leaks: Done) -> None:
    model = leaks.model("broken")
    assert not model["loads"]
    assert "it does not load: ModuleNotFoundError: No module named 'no_such_module'" in leaks.out
    assert "broken/1/model.py:" in model["failed"]
    assert "install that package" in model["remedy"]


def test_a_model_without_usable_inputs(leaks: Done) -> None:
    (check,) = (c for c in leaks.made["checks"] if c["subject"] == "refuses")
    assert check["verdict"] == "inconclusive"
    assert "only large numbers make sense" in check["told"]
    assert "--inputs FILE" in leaks.model("refuses")["remedy"]


def test_inputs_of_ones_own(healthy: Done) -> None:
    assert healthy.verdict("refuses", "cycle")[0] == "pass"


def test_models_together(healthy: Done) -> None:
    together = healthy.made["together"]
    assert [under["model"] for under in together["under_load"]] == ["healthy", "refuses"]
    assert together["idle"]["processes"] - together["before"]["processes"] == 2
    assert healthy.made["headroom"][0]["peak"] >= _host(together["under_load"][-1]["peak"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/no/such/directory"], "does not exist"),
        (["{}", "--models", "nothing*"], "no model of .* is named like nothing\\*"),
        (["{}", "--batch", "0"], "is not like 1,8,32"),
        (["{}", "--cycles", "3"], "3 is not in the range"),
        (["{}", "--headroom", "nan"], "is no finite number"),
        (["{}", "--per-cycle", "inf"], "is no finite number"),
    ],
)
def test_misuse(repository: Path, arguments: list[str], told: str) -> None:
    filled = [argument.format(repository) for argument in arguments]
    done = subprocess.run([*COMMAND, *filled], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(told, done.stderr), done.stderr


def test_a_directory_without_models(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["memory", str(tmp_path)])
    assert "holds no model" in str(result.exception)


def _host(reading: dict[str, Any]) -> int:
    return reading["server"] + reading["stubs"] + reading["shared"]
