"""What is built beside the server under test: the control arm, second servers, regions."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_triton import booted as booted_module
from pytest_triton.booted import Booted
from pytest_triton.copies import copy_model, keep
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.errors import DeploymentFailed, ToolError
from pytest_triton.factory import smallest_model
from pytest_triton.gaining import without_batching
from pytest_triton.launch.cache import CACHE_VARIABLE
from pytest_triton.launch.regions import region_prefix
from pytest_triton.repository.config import parse_config, read_config
from pytest_triton.settings import Settings

CONTROL, TREATED = "one", "other"
BATCHING = """
name: "m" backend: "pytorch" max_batch_size: 8
input [ { name: "A" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "B" data_type: TYPE_FP32 dims: [ 3 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
dynamic_batching { preferred_batch_size: [ 8 ] }
parameters [ { key: "INFERENCE_MODE" value { string_value: "true" } } ]
"""


def _model(directory: Path, config: str | None, size: int = 10) -> Path:
    (directory / "1").mkdir(parents=True)
    if config is not None:
        (directory / "config.pbtxt").write_text(config)
    (directory / "1" / "model.pt").write_bytes(b"x" * size)
    return directory


def test_the_control_arm_differs_in_name_and_batching_only(tmp_path: Path) -> None:
    source = _model(tmp_path / "m", BATCHING + "response_cache { enable: true }")
    (source / "labels.txt").write_text("a\n")
    for name in (CONTROL, TREATED):
        copy_model(source, tmp_path / name, keep if name == TREATED else without_batching)
    control, treated = (read_config(tmp_path / name) for name in (CONTROL, TREATED))
    assert treated.HasField("dynamic_batching")
    assert not control.HasField("dynamic_batching")
    assert not any(arm.HasField("response_cache") for arm in (control, treated))
    treated.ClearField("dynamic_batching")
    control.name = treated.name = "m"
    original = parse_config(BATCHING)
    original.ClearField("dynamic_batching")
    assert control == treated == original
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*")
              if p.is_file() and p.name != "config.pbtxt"} for n in ("m", CONTROL, TREATED)]  # fmt: skip
    assert files[0] == files[1] == files[2]
    assert read_config(source).HasField("response_cache")  # the source is as it was


def _deployed(repository: Path, failed: dict[str, str] | None = None) -> Deployment:
    names = tuple(sorted(path.name for path in repository.iterdir()))
    return Deployment("repository", "http://h", owned=True, repository=repository, models=names,
                      failed=failed or {})  # fmt: skip


def test_the_smallest_model(tmp_path: Path) -> None:
    _model(tmp_path / "small", 'backend: "pytorch"', 10)
    _model(tmp_path / "large", 'backend: "pytorch"', 1000)
    assert smallest_model(_deployed(tmp_path)) == "small"
    _model(tmp_path / "without_file", None, 5)
    assert smallest_model(_deployed(tmp_path)) == "without_file"
    _model(tmp_path / "python", 'backend: "python"', 5000)
    assert smallest_model(_deployed(tmp_path)) == "python"
    _model(tmp_path / "stream", 'backend: "python" model_transaction_policy { decoupled: true }', 1)
    _model(tmp_path / "ensemble", 'platform: "ensemble"', 0)
    assert smallest_model(_deployed(tmp_path)) == "python"
    assert (
        smallest_model(_deployed(tmp_path, {"python": "broken", "without_file": "no"})) == "small"
    )


def test_no_model_alone(tmp_path: Path) -> None:
    _model(tmp_path / "ensemble", 'platform: "ensemble"')
    with pytest.raises(NotAssessed) as hole:
        smallest_model(_deployed(tmp_path))
    assert hole.value.code is Reason.BLOCKED


# -- regions


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    _model(tmp_path / "r" / "p", 'backend: "python"')
    _model(tmp_path / "r" / "t", 'platform: "pytorch_libtorch"')
    return tmp_path / "r"


def _prefix(
    stack: Any, version: str, repository: Path, models: tuple[str, ...], **more: Any
) -> str:
    options = {"timeout": 5.0, "progress": lambda text: None, **more}
    return region_prefix(version, repository, models, "abc", stack, **options)


def test_every_server_has_regions_of_its_own(both: Path) -> None:
    from contextlib import ExitStack

    own = "triton_python_backend_shm_region_abc_"
    with ExitStack() as stack:
        for version in ("2.48.0", "2.51.0", "3.0", ""):
            assert _prefix(stack, version, both, ("p", "t")) == own
        _model(both / "nonsense", "max_batchsize: {")  # the server says what is wrong with it
        for models in (("p",), ("t",), ("p", "nonsense")):
            assert _prefix(stack, "2.39.0", both, models) == own


def test_one_old_server_with_both_backends_at_a_time(both: Path) -> None:
    from contextlib import ExitStack

    first, second = ExitStack(), ExitStack()
    told: list[str] = []
    with first:
        assert _prefix(first, "2.39.0", both, ("p", "t")) == ""
        refused: list[BaseException] = []

        def again() -> None:
            try:
                _prefix(second, "2.39.0", both, ("p", "t"), timeout=0.05, progress=told.append)
            except ToolError as error:
                refused.append(error)

        thread = threading.Thread(target=again)
        thread.start()
        thread.join(10)
        assert "serving Python and PyTorch models with Triton 2.39.0" in str(refused[0])
        assert told
    with second:
        assert _prefix(second, "2.39.0", both, ("p", "t")) == ""


# -- the attempt to boot


def test_booted(tmp_path: Path) -> None:
    good = _deployed(_model(tmp_path / "r" / "m", BATCHING).parent)
    assert Booted(good, None).require() is Booted(good, None).deployed() is good
    broken = _deployed(tmp_path / "r", {"m": "no such file"})
    assert Booted(broken, None).deployed() is broken  # clauses say which model is broken
    with pytest.raises(DeploymentFailed, match="no such file"):
        Booted(broken, None).require()
    error = ToolError("no port is free\nmore", "wait")
    with pytest.raises(ToolError, match="no port is free"):
        Booted(None, error).require()
    with pytest.raises(NotAssessed, match=r"there is no server: no port is free$") as hole:
        Booted(None, error).deployed()
    assert hole.value.code is Reason.BLOCKED


class Manager:
    """What launch gives, and what became of it."""

    def __init__(self, found: Deployment | ToolError) -> None:
        self.found, self.left = found, 0

    def __enter__(self) -> Deployment:
        if isinstance(self.found, ToolError):
            raise self.found
        return self.found

    def __exit__(self, *_: object) -> None:
        self.left += 1


def test_a_boot_that_fails_is_a_value(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pytest_triton import launch

    good = Deployment("reference", "http://127.0.0.1:81", "127.0.0.1:82", "http://127.0.0.1:83/metrics",
                      owned=True, boot={"ready": 1.26})  # fmt: skip
    for found in (good, ToolError("no")):
        manager, said = Manager(found), []
        monkeypatch.setattr(launch, "launch", lambda *_, manager=manager, **__: manager)
        with booted_module.boot(pytestconfig, Settings(), said.append) as attempt:
            assert (attempt.deployment or attempt.error) is found
            assert manager.left == 0
        assert manager.left == (found is good)
        assert said == (
            ["ready in 1.3 s · http 81 · grpc 82 · metrics 83"] if found is good else []
        )
