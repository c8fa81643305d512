"""The reference repository on real servers: everything is READY and answers as the modules do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import InferResult
from pytest_triton.repository.config import read_config, selected_versions
from pytest_triton.repository.layout import list_models, repository_sha256
from pytest_triton.repository.reference import reference_models, reference_repository
from pytest_triton.repository.sidecar import read_golden, read_sidecar

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def repository() -> Path:
    return reference_repository()


@pytest.fixture(scope="module", params=["24.10", "24.07"])
def served(repository: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """On 24.10 without auto-complete, which complete configurations do not need."""
    from pytest_triton.launch.store import install

    install(request.param)
    arguments = ("--disable-auto-complete-config",) if request.param == "24.10" else ()
    spec = ServerSpec(repository, release=request.param, device="cpu", server_args=arguments)
    before = repository_sha256(repository)
    with embedded(spec) as deployment:
        yield deployment
    assert repository_sha256(repository) == before


def grpc_of(deployment: Deployment) -> GrpcProbe:
    assert deployment.grpc_url is not None
    return GrpcProbe(deployment.grpc_url)


def test_every_model_is_ready_and_the_policy_holds(served: Deployment) -> None:
    assert served.failed == {}
    with HttpProbe(served.http_url) as probe:
        ready = {(entry["name"], entry["version"]) for entry in probe.index(ready=True)}
        assert {name for name, _ in ready} == set(reference_models())
        assert probe.model_metadata("versioned")["versions"] == ["1", "3"]
        assert not probe.model_ready("versioned", "2")


@pytest.mark.parametrize("name", reference_models())
def test_golden_answers_come_back(served: Deployment, repository: Path, name: str) -> None:
    model = next(model for model in list_models(repository) if model.name == name)
    with grpc_of(served) as probe:
        for version in selected_versions(read_config(model.path), model.versions):
            directory = model.version_path(version)
            record = read_sidecar(directory)
            assert record is not None
            for case in read_golden(directory):
                if record.decoupled:
                    stream = list(probe.stream_infer(name, case.inputs))
                    words = [part["text_output"][0] for part in stream]
                    assert words == list(case.outputs["text_output"])
                    continue
                given = probe.infer(name, case.inputs, version=str(version))
                for output, expected in case.outputs.items():
                    np.testing.assert_allclose(
                        given[output], expected, rtol=record.rtol, atol=record.atol
                    )


def test_labels_come_with_classification(served: Deployment, repository: Path) -> None:
    case = read_golden(repository / "pipeline" / "1")[0]
    labels = (repository / "pipeline" / "labels.txt").read_text().split()
    with grpc_of(served) as probe:
        answer: InferResult = probe.infer(
            "pipeline", case.inputs, outputs=["probabilities"], classification=1
        )
    best = answer["probabilities"][0][0].decode().split(":")
    expected = int(case.outputs["probabilities"][0].argmax())
    assert best[1:] == [str(expected), labels[expected]]


def test_the_generator_refuses_and_keeps_its_interval(served: Deployment) -> None:
    prompt = np.array([b"once"], np.object_)
    with grpc_of(served) as probe:
        with pytest.raises(Exception, match="max_tokens must be 1 to 256, got 0"):
            list(
                probe.stream_infer(
                    "generator", {"text_input": prompt, "max_tokens": np.array([0], np.int32)}
                )
            )
        stream = probe.stream_infer(
            "generator",
            {"text_input": prompt, "max_tokens": np.array([4], np.int32)},
            parameters={"interval_us": 1000},
        )
        assert len(list(stream)) == 4


def test_an_image_without_pixels_is_an_error_of_its_request(served: Deployment) -> None:
    with HttpProbe(served.http_url) as probe:
        good = probe.infer("preprocess", {"image": np.zeros((1, 5, 5, 3), np.uint8)})
        assert good["pixels"].shape == (1, 3, 64, 64)
