"""Auto-complete is left out only where it has nothing to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.ready import request
from pytest_triton.launch.screen import screen
from pytest_triton.launch.screened import Screened

BASE = 'name: "m"\nbackend: "python"\nmax_batch_size: 4\n'
INPUT = 'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
OUTPUT = 'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
CODE = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


@pytest.mark.parametrize(
    ("config", "code", "complete"),
    [
        (BASE + INPUT + OUTPUT, CODE, True),
        (BASE + INPUT, CODE, False),
        (BASE + OUTPUT, CODE, False),
        (BASE + INPUT.replace("dims: [ 4 ]", "") + OUTPUT, CODE, False),
        (BASE + INPUT.replace("data_type: TYPE_FP32", "") + OUTPUT, CODE, False),
        (BASE.replace('name: "m"', "") + INPUT + OUTPUT, CODE, False),
        (BASE.replace('backend: "python"', "") + INPUT + OUTPUT, CODE, False),
        ("name: {", CODE, False),
        (BASE + INPUT + OUTPUT, CODE + "    def auto_complete_config(c):\n        pass\n", False),
        (BASE + INPUT + OUTPUT, "from x import TritonPythonModel\n", False),
        (
            BASE + INPUT + OUTPUT,
            "from x import B\n\n\nclass TritonPythonModel(B):\n  pass\n",
            False,
        ),
        (BASE + INPUT + OUTPUT, CODE.replace("Model:", "Model(object):"), True),
    ],
)
def test_what_counts_as_complete(
    repository: Path, model, config: str, code: str, complete: bool
) -> None:
    model("m", config=config, code=code)
    assert screen(repository).complete is complete


def test_one_that_is_not_complete_is_enough(repository: Path, model) -> None:
    model("m", config=BASE + INPUT + OUTPUT, code=CODE)
    model("n", config="", code=CODE)
    assert screen(repository, ("m",)).complete
    assert not screen(repository).complete


def test_the_served_configuration_is_the_same(repository: Path, model) -> None:
    model("tiny")
    served = []
    for auto in (True, None):
        with embedded(ServerSpec(repository, device="cpu", auto_complete=auto)) as deployment:
            assert ("strict_model_config              | 1" in deployment.log_text()) is not auto
            port = int(deployment.http_url.rpartition(":")[2])
            served.append(json.loads(request(port, "GET", "/v2/models/tiny/config")[1]))
    assert served[0] == served[1]


@pytest.mark.parametrize(
    ("code", "grace"),
    [
        (CODE, 0.0),
        (CODE + "    def finalize(self):\n        pass\n", 10.0),
        ("import atexit\n" + CODE, 10.0),
        ("f = open('x')\n" + CODE, 10.0),
        ("from x import B\n\n\nclass TritonPythonModel(B):\n    pass\n", 10.0),
    ],
)
def test_time_to_finish(repository: Path, model, code: str, grace: float) -> None:
    model("m", config=BASE + INPUT + OUTPUT, code=code)
    assert screen(repository).grace == grace


def test_finalize_runs(repository: Path, model, tmp_path: Path) -> None:
    mark = tmp_path / "finalized"
    code = CODE + f"    def finalize(self):\n        open({str(mark)!r}, 'w').close()\n"
    model("m", config=BASE + INPUT + OUTPUT, code=code)
    with embedded(ServerSpec(repository, device="cpu")):
        assert not mark.exists()
    assert mark.exists()


def test_what_was_found_is_remembered_until_something_changes(
    repository: Path, model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pytest_triton.launch import remembered

    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(tmp_path / "cache"))
    asked: list[Path] = []

    def counted(path: Path, models: object = None) -> Screened:
        asked.append(path)
        return screen(path)

    monkeypatch.setattr(remembered, "screen", counted)
    directory = model("m", config=BASE + INPUT + OUTPUT, code=CODE)
    first = remembered.screen_remembered(repository)
    assert remembered.screen_remembered(repository) == first == screen(repository)
    assert len(asked) == 1
    (directory / "1" / "model.py").unlink()
    assert remembered.screen_remembered(repository).failed
    (directory / "1" / "model.py").symlink_to("nowhere")
    assert "leads nowhere" in remembered.screen_remembered(repository).failed["m"]
    (directory / "config.pbtxt").write_text("")
    assert not remembered.screen_remembered(repository).complete
    assert len(asked) == 4


def test_a_boot_imports_no_protobuf_the_second_time(repository: Path, model) -> None:
    model()
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from pytest_triton.launch.embedded import ServerSpec, embedded\n"
        "with embedded(ServerSpec(Path(sys.argv[1]), device='cpu')): pass\n"
        "print(sorted({'google.protobuf', 'grpc', 'numpy', 'torch'} & set(sys.modules)))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code, str(repository)],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout.strip()
        for _ in range(2)
    ]  # fmt: skip
    assert told[1] == "[]"
