"""Stage 02: several versions of a model, and the policies that select them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from pytest_triton.compare import mismatch
from pytest_triton.evidence import Evidence
from pytest_triton.factory import Disposable
from pytest_triton.overriding import under_policy
from pytest_triton.own_models import VERSIONS
from pytest_triton.served import model_file_digests
from pytest_triton.subject import Subject
from pytest_triton.telling import plain

NO_VERSION = "987654"


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
                assert answer.status == expected, (
                    f"version {version} answers {answer.status}{answer.speaker}"
                )
                assert name in (answer.error or ""), (
                    f"no reason for version {version}: {answer.text[:200]!r}{answer.speaker}"
                )


@pytest.mark.clause("VER-05")
@pytest.mark.parametrize("count", [1, 2])
def test_policy_latest(triton_disposable: Disposable, count: int) -> None:
    _served(triton_disposable, {"latest": {"num_versions": count}}, VERSIONS[-count:])


@pytest.mark.clause("VER-06")
def test_policy_all(triton_disposable: Disposable) -> None:
    _served(triton_disposable, {"all": {}}, VERSIONS)


@pytest.mark.clause("VER-07")
def test_policy_specific(triton_disposable: Disposable) -> None:
    first, *_, last = VERSIONS
    _served(triton_disposable, {"specific": {"versions": [last, first]}}, (first, last))


def _served(disposable: Disposable, policy: Mapping[str, Any], expected: Sequence[int]) -> None:
    """Under this policy exactly the expected versions are served, each as itself."""
    seen = under_policy(disposable, policy)
    said = f"under {dict(policy)} of versions {list(VERSIONS)}"
    assert seen.ready == tuple(expected), f"{said} ready are {list(seen.ready)}"
    named = tuple(map(str, expected))
    assert seen.metadata == named, f"{said} metadata lists {list(seen.metadata)}"
    assert sorted(seen.index, key=int) == list(named), f"{said} READY are {list(seen.index)}"
    for version in VERSIONS:
        told = seen.told[str(version)]
        if version in expected:
            assert told == plain(version), f"{said} version {version} tells {told}"
        else:
            assert isinstance(told, str), f"{said} version {version} answers, and tells {told}"
            assert disposable.controlled in told, f"the refusal names no model: {told!r}"
    assert seen.told[""] == plain(max(expected)), (
        f"{said} a request without a version is answered by {seen.told['']}"
    )
