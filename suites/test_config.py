"""Stage 02: the repository on disk against what the server really serves."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pytest_triton.compare import mismatch
from pytest_triton.evidence import Evidence
from pytest_triton.factory import Disposable
from pytest_triton.launch.reasons import explain
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import RequestFailed
from pytest_triton.reloading import cycle
from pytest_triton.served import (
    declared_metadata,
    disk_config,
    knows,
    model_file_digests,
    parse_served,
    policy_versions,
    unset_fields,
    well_formed,
    well_formed_tensors,
    wrong_types,
)
from pytest_triton.subject import Subject

NOBODY = "pytest_triton_no_such_model"
NO_VERSION = "987654"


@pytest.mark.clause("PTM-01")
def test_a_pytorch_model(triton_subject: Subject, triton_evidence: Evidence) -> None:
    found = triton_subject.pytorch
    triton_evidence.measure("PyTorch models", len(found), "models")
    failed = triton_subject.deployment.failed
    assert found, "no PyTorch model is READY" + "".join(
        f"\n{model}: {reason}" for model, reason in failed.items()
    )


@pytest.mark.clause("PTM-02")
def test_every_model_is_ready(triton_subject: Subject, triton_evidence: Evidence) -> None:
    failed = triton_subject.deployment.failed
    repository = triton_subject.deployment.repository
    assert triton_subject.expected, (
        f"there is no model at all in {repository or 'the repository index'}: a model is a "
        "directory with config.pbtxt and numbered version directories"
    )
    index = triton_subject.index()
    for name in triton_subject.expected:
        with triton_evidence.case(name):
            states = [entry for entry in index if entry.get("name") == name]
            if not any(entry.get("state") == "READY" for entry in states):
                reasons = [failed.get(name, "")] + [
                    str(entry.get("reason", "")) for entry in states
                ]
                reason = next((text for text in reasons if text), "not in the repository index")
                place, remedy = None, ""
                if repository is not None:
                    place, remedy = explain(reason, name, repository)
                triton_evidence.locate(*(place or (f"{name}/config.pbtxt", 0)))
                raise AssertionError(f"{reason}\n  remedy    {remedy}" if remedy else reason)
    triton_evidence.measure("ready models", len(triton_subject.models), "models")


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
    assert answer.status == expected, f"an unknown model answers {answer.status}"
    assert NOBODY in (answer.error or ""), f"the error does not name the model: {answer.text!r}"
    known = next(iter(triton_subject.models))
    answer = triton_subject.http.request("GET", model_path(known, NO_VERSION) + what)
    assert answer.status == expected, f"an unknown version answers {answer.status}"
    assert known in (answer.error or ""), f"the error does not name the model: {answer.text!r}"


@pytest.mark.clause("CFG-01")
def test_config_parses(triton_subject: Subject, triton_evidence: Evidence) -> None:
    ready = {str(e.get("name")) for e in triton_subject.index() if e.get("state") == "READY"}
    for name in sorted(ready & set(triton_subject.expected) - set(triton_subject.models)):
        with triton_evidence.case(name):  # no other clause can judge such a model
            parse_served(triton_subject.http.model_config(name))
            raise AssertionError("its configuration could not be read before")
    known = knows(str(triton_subject.server.get("version", "")))
    for name in triton_subject.models:
        with triton_evidence.case(name):
            answer = triton_subject.http.model_config(name)
            config = parse_served(answer, strict=known)
            assert not (wrong := wrong_types(answer)), "; ".join(wrong[:3])
            assert config.name == name, f"the configuration is of {config.name!r}"
            assert config.HasField("version_policy"), "no version_policy"
            assert config.backend or config.platform, "neither backend nor platform"
            if config.platform == "ensemble":
                assert not config.instance_group, "an ensemble with instance groups"
            else:
                assert config.instance_group, "no instance_group"


@pytest.mark.clause("CFG-02")
def test_round_trip(triton_subject: Subject, triton_evidence: Evidence) -> None:
    repository = triton_subject.deployment.repository
    assert repository is not None
    for name in triton_subject.models:
        with triton_evidence.case(name):
            lost = unset_fields(
                disk_config(repository / name), parse_served(triton_subject.http.model_config(name))
            )
            for line in lost:
                triton_evidence.locate(f"{name}/config.pbtxt")
                raise AssertionError(line)


@pytest.mark.clause("CFG-03")
def test_config_protocols(triton_subject: Subject, triton_evidence: Evidence) -> None:
    assert triton_subject.grpc is not None
    for name in triton_subject.models:
        with triton_evidence.case(name):
            over_http = parse_served(triton_subject.http.model_config(name))
            over_grpc = parse_served(triton_subject.grpc.model_config(name))
            assert over_http == over_grpc, (
                f"the configurations differ: {unset_fields(over_http, over_grpc)[:3]}"
            )


@pytest.mark.clause("CFG-04")
def test_metadata_protocols(triton_subject: Subject, triton_evidence: Evidence) -> None:
    assert triton_subject.grpc is not None
    for name in triton_subject.models:
        with triton_evidence.case(name):
            over_http = triton_subject.http.model_metadata(name)
            over_grpc = triton_subject.grpc.model_metadata(name)
            for key in ("name", "versions", "platform", "inputs", "outputs"):
                assert over_http.get(key) == over_grpc.get(key), (
                    f"{key}: {over_http.get(key)} over HTTP, {over_grpc.get(key)} over gRPC"
                )


@pytest.mark.clause("REP-01")
def test_index(triton_subject: Subject, triton_evidence: Evidence) -> None:
    everything, ready = triton_subject.http.index(), triton_subject.http.index(ready=True)
    for entry in (*everything, *ready):
        assert isinstance(entry, dict), f"an entry that is no object: {entry!r:.200}"
        for key in ("name", "version"):
            told = entry.get(key, None if key == "name" else "")
            assert isinstance(told, str), f"an entry without a {key}: {entry!r:.200}"
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            for entries, which in ((everything, "whole"), (ready, "ready")):
                found = {
                    entry.get("version"): entry.get("state")
                    for entry in entries
                    if entry["name"] == name
                }
                for version in model.versions:
                    assert found.get(version) == "READY", (
                        f"version {version} is {found.get(version)} in the {which} index"
                    )
                    assert triton_subject.http.model_ready(name, version), (
                        f"version {version} is READY in the index and not ready when asked"
                    )
    for entry in ready:
        assert entry.get("state") == "READY", f"the ready index lists {entry}"


@pytest.mark.clause("REP-02")
def test_load_and_unload(triton_disposable: Disposable) -> None:
    seen = cycle(triton_disposable)
    assert seen.refusal is not None, "inference was answered after the unload"
    assert triton_disposable.model in seen.refusal, f"the refusal names no model: {seen.refusal!r}"
    assert seen.states_when_unloaded <= {"UNAVAILABLE", "UNLOADING"}, (
        f"the index says {sorted(seen.states_when_unloaded)} after the unload"
    )
    assert seen.after == 200, f"readiness answers {seen.after} after loading again"
    assert not seen.changed, f"after loading again: {seen.changed}"


@pytest.mark.clause("REP-03")
def test_unknown_load(triton_disposable: Disposable) -> None:
    http = triton_disposable.subject.http
    with pytest.raises(RequestFailed) as refused:
        http.load(NOBODY)
    assert NOBODY in refused.value.message, f"the refusal names no model: {refused.value}"
    assert http.model_ready(triton_disposable.failing), "another model is not ready any more"


@pytest.mark.clause("VER-01")
def test_several_versions(triton_subject: Subject, triton_evidence: Evidence) -> None:
    several = {n: m for n, m in triton_subject.models.items() if len(m.versions) > 1}
    most = max((len(model.versions) for model in triton_subject.models.values()), default=0)
    triton_evidence.measure("versions", most, "ready versions", budget=2)
    assert several, "no model has two ready versions"
    repository = triton_subject.deployment.repository
    if repository is None:
        return
    for name, model in several.items():
        with triton_evidence.case(name):
            digests = model_file_digests(repository / name, model.versions)
            triton_evidence.attach(f"{name}.sha256.json", digests)
            assert len(set(digests.values())) == len(digests), (
                f"versions with the same files: {digests}"
            )


@pytest.mark.clause("VER-02")
def test_versions_differ(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.unary.items():
        if len(model.versions) < 2:
            continue
        with triton_evidence.case(name):
            case = triton_subject.case(name)
            answers = {
                version: triton_subject.answer(name, case, version=version)
                for version in model.versions
            }
            for version, answer in answers.items():
                assert answer.model_version == version, (
                    f"version {version} was asked, {answer.model_version} answered"
                )
                declared = {t["name"] for t in triton_subject.metadata(name)["outputs"]}
                assert set(answer.outputs) == declared, (
                    f"version {version}: outputs {sorted(answer.outputs)}, declared are {sorted(declared)}"
                )
                reference = triton_subject.reference(name, version, case)
                if reference is not None:
                    text = mismatch(answer.outputs, reference, datatypes=answer.datatypes)
                    assert not text, f"version {version}: {text}"
            versions = list(answers)
            for one, two in pairwise(versions):
                same = not mismatch(answers[one].outputs, answers[two].outputs)
                assert not same, f"versions {one} and {two} give the same answer"
    triton_evidence.need("model with several versions that answers one request with one response")


@pytest.mark.clause("VER-03")
def test_latest_version(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.unary.items():
        if len(model.versions) < 2:
            continue
        with triton_evidence.case(name):
            case = triton_subject.case(name)
            answer = triton_subject.answer(name, case)
            latest = triton_subject.answer(name, case, version=model.versions[-1])
            assert answer.model_version == model.versions[-1], (
                f"version {answer.model_version} answered, the latest is {model.versions[-1]}"
            )
            text = mismatch(answer.outputs, latest.outputs, rtol=0, atol=0)
            assert not text, f"the latest version answers otherwise when it is named: {text}"
    triton_evidence.need("model with several versions that answers one request with one response")


@pytest.mark.clause("VER-04")
def test_unserved_version(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in triton_subject.unary:
        with triton_evidence.case(name):
            case = triton_subject.case(name)
            for version in (NO_VERSION, *triton_subject.withheld(name)):
                answer = triton_subject.http_infer(name, case, version=version)
                expected = triton_subject.error_status(404)
                assert answer.status == expected, f"version {version} answers {answer.status}"
                assert name in (answer.error or ""), (
                    f"no reason for version {version}: {answer.text}"
                )
