"""Stage 02: metadata is what the configuration says, and what responses really are."""

from __future__ import annotations

import math

import pytest

from pytest_triton.asking import parse_class
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.honest import other_batch, undeclared, wrong_labels
from pytest_triton.probe.http import model_path
from pytest_triton.served import (
    declared_metadata,
    policy_versions,
    well_formed,
    well_formed_tensors,
)
from pytest_triton.subject import Subject
from pytest_triton.wrong import reason_of

NOBODY = "pytest_triton_no_such_model"
NO_VERSION = "987654"


@pytest.mark.clause("MET-03")
def test_metadata(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            metadata = well_formed(triton_subject.http.model_metadata(name))
            declared = declared_metadata(model.config)
            assert metadata.get("name") == name, f"name {metadata.get('name')!r}"
            assert metadata.get("versions") == list(model.versions), (
                f"versions {metadata.get('versions')}, the index says {list(model.versions)}"
            )
            for direction in ("inputs", "outputs"):
                tensors = [(t["name"], t["datatype"]) for t in metadata[direction]]
                expected = [(t.name, t.datatype) for t in declared[direction]]
                assert tensors == expected, f"{direction} {tensors}, configured are {expected}"


@pytest.mark.clause("MET-04")
def test_shapes(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            metadata = well_formed_tensors(triton_subject.http.model_metadata(name))
            declared = declared_metadata(model.config)
            for direction in ("inputs", "outputs"):
                found = {t["name"]: t["shape"] for t in metadata[direction]}
                for tensor in declared[direction]:
                    assert found.get(tensor.name) == list(tensor.shape), (
                        f"{tensor.name} has shape {found.get(tensor.name)}, "
                        f"its configuration means {list(tensor.shape)}"
                    )


@pytest.mark.clause("MET-05")
def test_version_policy(triton_subject: Subject, triton_evidence: Evidence) -> None:
    repository = triton_subject.deployment.repository
    assert repository is not None
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            expected = policy_versions(repository / name)
            assert list(model.versions) == expected, (
                f"ready versions {list(model.versions)}, the policy selects {expected}"
            )


@pytest.mark.clause("MET-06")
@pytest.mark.parametrize("what", ["", "/config"])
def test_unknown_model(triton_subject: Subject, what: str) -> None:
    expected = triton_subject.error_status(404)
    answer = triton_subject.http.request("GET", model_path(NOBODY) + what)
    assert answer.status == expected, f"an unknown model answers {answer.status}{answer.speaker}"
    reason = reason_of(answer, expected)
    assert NOBODY in reason, f"the error does not name the model: {reason!r}"
    known = next(iter(triton_subject.models))
    answer = triton_subject.http.request("GET", model_path(known, NO_VERSION) + what)
    assert answer.status == expected, f"an unknown version answers {answer.status}{answer.speaker}"
    reason = reason_of(answer, expected)
    assert known in reason, f"the error does not name the model: {reason!r}"


@pytest.mark.clause("MET-07")
def test_platform(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            told = triton_subject.http.model_metadata(name).get("platform")
            expected = model.config.get("platform") or model.config.get("backend")
            assert told == expected, f"platform {told!r}, configured is {expected!r}"


@pytest.mark.clause("MET-08")
def test_honest(triton_subject: Subject, triton_evidence: Evidence) -> None:
    compared = 0
    for name, model in triton_subject.models.items():
        if model.is_pytorch or model.stateful:  # ACC-02 judges PyTorch models
            continue
        with triton_evidence.case(name):
            declared = triton_subject.metadata(name)["outputs"]
            if model.decoupled:
                if triton_subject.grpc is None:
                    raise NotAssessed(Reason.NO_ENDPOINT, "a decoupled model streams over gRPC")
                case = triton_subject.case(name)
                for response in triton_subject.grpc.stream_infer(name, case.inputs):
                    compared += 1
                    assert not (text := undeclared(response, declared, whole=False)), text
                continue
            for case in triton_subject.batches(name):
                answer = triton_subject.answer(name, case)
                compared += 1
                assert not (text := undeclared(answer, declared)), text
                if model.max_batch_size:
                    assert not (text := other_batch(answer, case.batch)), text
    triton_evidence.measure("compared", compared, "responses")
    triton_evidence.need("model of another backend than PyTorch, and without sequences")


@pytest.mark.clause("MET-09")
def test_labels(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.unary.items():
        for output in model.labelled_outputs:
            with triton_evidence.case(f"{name}.{output}"):
                case = triton_subject.case(name)
                plain = triton_subject.answer(name, case, outputs=[output])[output]
                classes = math.prod(plain.shape[1:] if model.max_batch_size else plain.shape)
                told = triton_subject.answer(name, case, outputs=[output], classification=classes)
                row = told[output].reshape(-1)[:classes]
                labels = {at: label for _, at, label in (parse_class(t, classes) for t in row)}
                assert sorted(labels) == list(range(classes)), (
                    f"of {classes} classes {len(labels)} were told"
                )
                metadata = triton_subject.metadata(name)["outputs"]
                shape = next(tensor["shape"] for tensor in metadata if tensor["name"] == output)
                text = wrong_labels(
                    [labels[at] for at in range(classes)],
                    triton_subject.labels(name, output),
                    shape,
                )
                if text and triton_subject.deployment.repository:
                    triton_evidence.locate(f"{name}/{_label_file(model.config, output)}")
                assert not text, text
    triton_evidence.need("labelled output of a model that answers one request with one response")


def _label_file(config: dict[str, list[dict[str, str]]], output: str) -> str:
    return next(each["label_filename"] for each in config["output"] if each["name"] == output)
