"""A boot that fails says why, in time: the reason, the model, the file."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pytest_triton.errors import DeploymentFailed, ToolError
from pytest_triton.launch.embedded import ServerSpec, embedded

IO = """
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
CLASS = "class TritonPythonModel:\n"


def fails(repository: Path, **about) -> DeploymentFailed:
    spec = ServerSpec(repository, device="cpu", **{"boot_timeout": 30.0, **about})
    with pytest.raises(DeploymentFailed) as caught, embedded(spec):
        pass
    return caught.value


@pytest.mark.parametrize(
    ("broken", "reason", "file", "line"),
    [
        ({"code": None}, "Python model file", "1/model.py", 0),
        ({"code": "import nosuch\n"}, "No module named 'nosuch'", "1/model.py", 1),
        ({"code": "x =\n"}, "SyntaxError: invalid syntax", "1/model.py", 1),
        ({"code": "x = 1\n"}, "no attribute 'TritonPythonModel'", "1/model.py", 0),
        (
            {"code": CLASS + "    def initialize(self, args):\n        raise ValueError('boom')\n"},
            "ValueError: boom", "1/model.py", 3,
        ),
        ({"config": "max_batch_size: x\n"}, "Expected integer", "config.pbtxt", 1),
        ({"config": 'name: "other"\nbackend: "python"' + IO}, "unexpected directory name",
         "config.pbtxt", 1),
        ({"config": '# one\nname: "bad"\nbackend: "nosuch"' + IO}, "unable to find backend library",
         "config.pbtxt", 3),
        ({"config": 'name: "bad"\nplatform: "nosuch"' + IO}, "unexpected platform type",
         "config.pbtxt", 2),
        ({"config": 'name: "bad"\nbackend: "python"' + IO + "instance_group { kind: KIND_GPU }"},
         "no GPUs are available", "config.pbtxt", 5),
        ({"config": 'name: "bad"\nbackend: "python"' + IO.replace("[ 4 ]", "[ -3 ]")},
         "dimension must be integer >= 1", "config.pbtxt", 3),
        ({"version": "one"}, "at least one version must be available", "config.pbtxt", 0),
        ({"config": 'name: "bad"\nbackend: "python"\ndefault_model_filename: "my model.py"' + IO},
         "default_model_filename breaks the command", "config.pbtxt", 3),
    ],
    ids=["no file", "import", "syntax", "no class", "initialize", "text", "name", "backend",
         "platform", "gpu", "dims", "version", "space in file"],
)  # fmt: skip
def test_a_model_that_does_not_load(
    repository: Path, model, broken: dict, reason: str, file: str, line: int
) -> None:
    model("bad", **broken)
    error = fails(repository)
    assert reason in error.reason
    assert error.model == "bad"
    assert error.location is not None
    assert (Path(error.location[0]).resolve(), error.location[1]) == (
        (repository / "bad" / file).resolve(), line,
    )  # fmt: skip
    assert str(error).startswith('model "bad" did not load (Triton 2.51.0, embedded)')
    if reason not in ("ValueError: boom", "SyntaxError: invalid syntax"):
        assert error.remedy


@pytest.mark.parametrize("name", ["with space", "a;touch x", "a'b", "a$HOME"])
def test_names_that_hang_the_server(name: str, repository: Path, model) -> None:
    model("good")
    model(name)
    with embedded(ServerSpec(repository, device="cpu"), tolerant=True) as deployment:
        assert deployment.serving == ("good",)
        assert "Triton hangs on it" in deployment.failed[name]


def test_one_bad_model_does_not_stop_the_others(repository: Path, model) -> None:
    model("good")
    model("bad", config="max_batch_size: x\n")
    model("hangs", code=None)
    with embedded(ServerSpec(repository, device="cpu"), tolerant=True) as deployment:
        assert deployment.serving == ("good",)
        assert set(deployment.failed) == {"bad", "hangs"}
    error = fails(repository, models=("good", "bad"))
    assert error.model == "bad"
    assert error.log_tail


def test_a_model_that_is_not_there(repository: Path, model) -> None:
    model()
    assert "no directory" in fails(repository, models=("tiny", "absent")).failures["absent"]


def test_an_ensemble_over_a_model_that_hangs(repository: Path, model) -> None:
    model("hangs", code=None)
    step = (
        'ensemble_scheduling { step { model_name: "hangs" model_version: -1 '
        'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } }'
    )
    model("whole", config='name: "whole"\nplatform: "ensemble"\nmax_batch_size: 8' + IO + step,
          code=None)  # fmt: skip
    assert "hangs is left out" in fails(repository, models=("whole",)).failures["whole"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time\ntime.sleep(600)\n", "still runs"),
        ("import os\nos._exit(3)\n", "ended without a word"),
    ],
)
def test_the_deadline(repository: Path, model, code: str, said: str) -> None:
    model("stuck", code=code)
    error = fails(repository, boot_timeout=3.0)
    assert error.model == "stuck"
    assert said in error.reason
    assert error.location is not None
    assert error.location[0].endswith("stuck/1/model.py")


def test_flags_that_tritonserver_refuses(repository: Path, model) -> None:
    model()
    assert "unrecognized option" in fails(repository, server_args=("--nosuch=1",)).reason
    broken = ("--cache-config=local,size=abc",)
    assert "LocalCache" in fails(repository, server_args=broken).reason


def test_a_port_in_use(repository: Path, model) -> None:
    model()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(ToolError, match=f"port {port} for gRPC is in use") as caught:
            with embedded(ServerSpec(repository, device="cpu", grpc_port=port)):
                pass
    assert caught.value.remedy


def test_a_gpu_that_is_not_there(repository: Path, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ToolError, match="GPU"), embedded(ServerSpec(repository, device="gpu")):
        pass


def test_a_path_that_the_shell_would_split(repository: Path, model) -> None:
    model()
    odd = repository.with_name("it's my répertoire")
    repository.rename(odd)
    with embedded(ServerSpec(odd, device="cpu")) as deployment:
        assert deployment.serving == ("tiny",)
        assert deployment.repository == odd
    (odd / "tiny" / "1" / "model.py").write_text("import nosuch\n")
    error = fails(odd)
    assert error.location is not None
    assert Path(error.location[0]).resolve() == (odd / "tiny" / "1" / "model.py").resolve()
