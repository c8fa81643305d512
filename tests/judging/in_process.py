"""The suites' own functions called on a subject in this process: a verdict in milliseconds."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any

from pytest_triton import suites
from pytest_triton.criteria import Clause, Inconclusive, NotAssessed, load
from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault
from pytest_triton.evidence import Evidence
from pytest_triton.gate import check
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

KNOWN = {"triton_subject", "triton_evidence"}
Judge = Callable[..., None]


def functions() -> dict[str, tuple[Clause, Judge, list[dict[str, Any]]]]:
    """Clause -> its test, if that needs nothing but a subject; and its parameters."""
    catalogue = load()
    found = {}
    for info in pkgutil.iter_modules(suites.__path__):
        module = importlib.import_module(f"pytest_triton.suites.{info.name}")
        for name, function in vars(module).items():
            if not name.startswith("test_"):
                continue
            marks = {mark.name: mark for mark in getattr(function, "pytestmark", ())}
            clause = catalogue.clauses[marks["clause"].args[0]]
            calls: list[dict[str, Any]] = [{}]
            if "parametrize" in marks:
                key, values = marks["parametrize"].args
                calls = [{key: value} for value in values]
            needed = set(inspect.signature(function).parameters)
            if needed - set(calls[0]) <= KNOWN:
                found[clause.id] = (clause, function, calls)
    return found


def judge(
    deployment: Deployment, settings: Settings, clauses: Iterable[str] | None = None
) -> dict[str, tuple[str, str]]:
    """Clause -> (status, reason) as pytest_triton.run would see it."""
    subject = Subject(deployment, settings)
    table = functions()
    try:
        return {
            name: _one(*table[name], subject, settings)
            for name in (table if clauses is None else clauses)
        }
    finally:
        subject.close()


def _one(
    clause: Clause,
    function: Judge,
    calls: list[dict[str, Any]],
    subject: Subject,
    settings: Settings,
) -> tuple[str, str]:
    evidence = Evidence(clause.id, None)
    given = {"triton_subject": subject, "triton_evidence": evidence}
    wanted = {key: given[key] for key in inspect.signature(function).parameters if key in given}
    try:
        check(clause, subject, settings)
        for call in calls:
            function(**wanted, **call)
        evidence.close()
    except NotAssessed as hole:
        return hole.code.value, hole.reason
    except Inconclusive as doubt:
        return "inconclusive", doubt.reason
    except (AssertionError, SubjectFault) as error:
        return "fail", str(error)
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}"
    return "pass", ""
