"""What Triton loads and lint calls an error or a warning: the harm, on a real server.

The configurations are cases of the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lint_corpus import cases, write_case

from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer, RequestFailed

FOUR = np.ones(4, np.float32)


@contextmanager
def served(
    path: Path, *names: str, release: str = "24.10"
) -> Iterator[tuple[HttpProbe, Deployment]]:
    """Cases of the corpus on a server."""
    path.mkdir()
    for case in cases():
        if case.id in names:
            write_case(path, case)
    spec = ServerSpec(path, release=release, device="cpu", auto_complete=True)
    with embedded(spec) as deployment, HttpProbe(deployment.http_url, timeout=30) as probe:
        yield probe, deployment


def asked(probe: HttpProbe, model: str, *inputs: np.ndarray) -> tuple[int, dict[str, Any]]:
    """The answer to a request of JSON in which a name may come twice."""
    tensors = [
        {"name": "x", "datatype": "FP32", "shape": list(value.shape), "data": value.tolist()}
        for value in inputs
    ]
    body = json.dumps({"inputs": tensors}).encode()
    answer = probe.request("POST", f"/v2/models/{model}/infer", body=body)
    return answer.status, answer.json()


def test_no_request_is_right_for_two_inputs_of_one_name(tmp_path: Path) -> None:
    """TEN004."""
    name = "two_inputs_of_one_name"
    with served(tmp_path / "r", name) as (probe, _):
        assert probe.model_ready(name)
        status, answer = asked(probe, name, FOUR)
        assert (status, "expected 2 inputs but got 1" in answer["error"]) == (400, True)
        status, answer = asked(probe, name, FOUR, FOUR)
        assert (status, "input 'x' already exists" in answer["error"]) == (400, True)


def test_two_outputs_of_one_name_come_back_under_it(tmp_path: Path) -> None:
    """TEN004, TEN005: three tensors are called x, and two of them are in the answer."""
    name = "two_outputs_of_one_name"
    with served(tmp_path / "r", name) as (probe, _):
        _, answer = asked(probe, name, FOUR)
        assert [tensor["name"] for tensor in answer["outputs"]] == ["x", "x"]
        with pytest.raises(MalformedAnswer, match="output 'x' comes twice"):
            probe.infer(name, {"x": FOUR})


def test_an_image_with_its_batch_is_refused_or_fails(tmp_path: Path) -> None:
    """SHP001: the network's own shape is refused, and Triton's breaks the network."""
    pytest.importorskip("torch")
    name = "image_with_its_batch"
    with served(tmp_path / "r", name) as (probe, _):
        assert probe.model_metadata(name)["inputs"][0]["shape"] == [-1, -1, 3, 32, 32]
        with pytest.raises(RequestFailed, match=r"Expected \[-1,-1,3,32,32\], got \[2,3,32,32\]"):
            probe.infer(name, {"INPUT__0": np.ones((2, 3, 32, 32), np.float32)})
        with pytest.raises(RequestFailed, match=r"Expected 3D .* or 4D .* input"):
            probe.infer(name, {"INPUT__0": np.ones((2, 1, 3, 32, 32), np.float32)})


def test_a_request_to_passive_instances_ends_the_server(tmp_path: Path) -> None:
    """GRP005."""
    name = "all_passive"
    with served(tmp_path / "r", name) as (probe, _):
        assert probe.model_ready(name)
        with pytest.raises(ConnectionFailed):
            probe.infer(name, {"x": FOUR})
        with pytest.raises(ConnectionFailed):
            probe.live()


def test_classes_of_strings_end_the_server(tmp_path: Path) -> None:
    """TEN008."""
    name = "labels_on_strings"
    with served(tmp_path / "r", name) as (probe, _):
        assert probe.infer(name, {"x": FOUR})["y"].shape == (2,)
        with pytest.raises(ConnectionFailed):
            probe.infer(name, {"x": FOUR}, outputs=["y"], classification=1)


def test_warnings_of_what_is_served(tmp_path: Path) -> None:
    """TEN013, VER002, VER003, CFG013, CFG016, GRP001: each as its rule says."""
    names = (
        "nothing_comes_out", "specific_in_part", "empty_policy", "platform_left_over",
        "parameter_twice", "labels_too_many", "version_zero",
    )  # fmt: skip
    with served(tmp_path / "r", *names) as (probe, _):
        assert probe.infer("nothing_comes_out", {"x": FOUR}).outputs == {}
        assert probe.model_metadata("specific_in_part")["versions"] == ["1"]
        assert probe.model_metadata("empty_policy")["versions"] == ["1", "2"]
        assert probe.model_metadata("platform_left_over")["platform"] == "pytorch_libtorch"
        parameters = probe.model_config("parameter_twice")["parameters"]
        assert parameters["threshold"]["string_value"] == "0.7"
        assert parameters["empty"]["string_value"] == ""
        assert probe.model_metadata("version_zero")["versions"] == ["0"]
        for _ in range(2):
            probe.infer("version_zero", {"x": FOUR})
        statistics = probe.statistics("version_zero")["model_stats"][0]["inference_stats"]
        assert statistics["cache_hit"]["count"] == 0, "CCH003: no --cache-config"


@pytest.mark.parametrize("release", ["24.07", "23.10"])
def test_older_servers_refuse_the_same(release: str, tmp_path: Path) -> None:
    """What a rule of these families calls an error on 24.10 is one on the others too."""
    from pytest_triton.launch.store import install

    install(release)
    themes = ("platforms", "serving", "shapes", "tensors", "text")
    chosen = [case for case in cases() if case.theme in themes and case.server == "refused"]
    repository = tmp_path / "r"
    repository.mkdir()
    for case in chosen:
        write_case(repository, case)
    spec = ServerSpec(repository, (), release=release, device="cpu", auto_complete=True)
    with embedded(spec) as deployment, HttpProbe(deployment.http_url, timeout=30) as probe:
        loaded = []
        for case in chosen:
            try:
                probe.load(case.id, timeout=30)
            except RequestFailed:
                continue
            loaded.append(case.id)
        assert loaded == []
