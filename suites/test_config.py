"""Stage 02: the repository on disk against what the server really serves."""

from __future__ import annotations

import pytest

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.factory import Disposable
from pytest_triton.launch.reasons import explain
from pytest_triton.own_models import CUSTOM_CONFIG, CUSTOM_VALUE
from pytest_triton.repository.config import CONFIG_NAME, format_config, read_text
from pytest_triton.roundtrip import fields_set, lost_fields
from pytest_triton.served import knows, parse_served, wrong_types
from pytest_triton.subject import Subject
from pytest_triton.telling import plain, tell


@pytest.mark.clause("PTM-01")
def test_a_pytorch_model(triton_subject: Subject, triton_evidence: Evidence) -> None:
    found = triton_subject.pytorch
    if triton_subject.hidden:
        raise NotAssessed(Reason.BLOCKED, triton_subject.hidden)
    triton_evidence.measure("PyTorch models", len(found), "models")
    failed = triton_subject.deployment.failed
    assert found, "no PyTorch model is READY" + "".join(
        f"\n{model}: {reason}" for model, reason in failed.items()
    )


@pytest.mark.clause("PTM-02")
def test_every_model_is_ready(triton_subject: Subject, triton_evidence: Evidence) -> None:
    failed = triton_subject.deployment.failed
    repository = triton_subject.deployment.repository
    unloaded = triton_subject.never_loaded
    index = triton_subject.index()
    assert triton_subject.expected, (
        f"there is no model at all in {repository or 'the repository index'}: a model is a "
        "directory with config.pbtxt and numbered version directories"
    ) + (f" (never loaded: {', '.join(unloaded)})" if unloaded else "")
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
    if unloaded:
        triton_evidence.measure("never loaded", len(unloaded), "models")


@pytest.mark.clause("CFG-01")
def test_config_parses(triton_subject: Subject, triton_evidence: Evidence) -> None:
    ready = triton_subject.listed_ready()
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
    fields = 0
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            path = repository / name / CONFIG_NAME
            text = read_text(path) if path.exists() else ""  # auto-complete needs no file
            fields += fields_set(text)
            for version in ("", *model.versions):
                served = parse_served(triton_subject.http.model_config(name, version))
                lost = lost_fields(text, served)
                for field in lost:
                    triton_evidence.locate(f"{name}/{CONFIG_NAME}", field.line)
                of = f"version {version}: " if version and lost else ""
                assert not lost, of + "; ".join(field.text for field in lost[:5])
    triton_evidence.measure("fields compared", fields, "fields")


@pytest.mark.clause("CFG-03")
def test_config_protocols(triton_subject: Subject, triton_evidence: Evidence) -> None:
    assert triton_subject.grpc is not None
    for name in triton_subject.models:
        with triton_evidence.case(name):
            over_http = parse_served(triton_subject.http.model_config(name))
            over_grpc = parse_served(triton_subject.grpc.model_config(name))
            sides = ("over HTTP", "over gRPC")
            lost = lost_fields(format_config(over_http), over_grpc, sides=sides)
            lost += lost_fields(format_config(over_grpc), over_http, sides=sides[::-1])
            assert over_http == over_grpc, "the configurations differ: " + "; ".join(
                field.text for field in lost[:3]
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


@pytest.mark.clause("CFG-05")
def test_custom_configuration(triton_disposable: Disposable) -> None:
    http, model = triton_disposable.subject.http, triton_disposable.custom
    told = tell(http, model)
    assert told == (1, CUSTOM_VALUE, 0), f"it tells {told}, not {(1, CUSTOM_VALUE, 0)}"
    repository = triton_disposable.subject.deployment.repository
    assert repository is not None
    text = read_text(repository / model / "configs" / f"{CUSTOM_CONFIG}.pbtxt")
    lost = lost_fields(text, parse_served(http.model_config(model)))
    assert not lost, lost[0].text
    told = tell(http, triton_disposable.controlled)
    assert told == plain(), f"a model without that file tells {told}, not {plain()}"
