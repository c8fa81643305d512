"""A healthy subject never fails, over and over; and the proxy by itself changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from faulty.data import KINDS
from faulty.judge import Judged, judge
from faulty.submitted import HANDED_IN, handed_in

from pytest_triton.criteria import load
from pytest_triton.criteria.requires import names
from pytest_triton.deployment import Deployment
from pytest_triton.launch.machine import gpu_count

#: What a healthy reference subject may leave open, and why.
OPEN = {"not_built", "not_applicable"}

#: Seconds that a run of all clauses may take, with what is handed in, beside other runs.
EVERYTHING_S = 900.0


#: A measurement that could not tell may be tried again; a healthy subject that failed never is.
once_more = pytest.mark.flaky(reruns=1, rerun_except="false alarm")


def _not_clean(judged: Judged, *, deselected: bool = False) -> dict[str, str]:
    allowed = OPEN | ({"deselected"} if deselected else set())
    return {
        entry["id"]: f"{entry['status']} {entry['reason_code'] or ''}: {entry['reason'][:300]}"
        for entry in judged.report["clauses"]
        if entry["status"] != "pass"
        and (entry["status"] != "not_assessed" or entry["reason_code"] not in allowed)
    }


def _assert_clean(found: dict[str, str], what: str) -> None:
    told = [f"{name} {entry}" for name, entry in found.items()]
    alarms = [line for line in told if line.split()[1] in ("fail", "error", "missing")]
    assert not alarms, f"false alarm, {what}: {alarms}"
    assert not told, f"{what}: {told}"


def needs_gpu(requires: str) -> bool:
    """Whether an expression names the capability."""
    return bool(requires) and "gpu" in names(requires)


@once_more
def test_the_healthy_reference_is_clean(healthy_run: int, tmp_path: Path) -> None:
    handed = {"PYTEST_TRITON_HANDED_IN": str(handed_in(tmp_path / "handed_in"))}
    judged = judge(
        tmp_path / "run", ["--triton-device", "cpu"], environment=handed, timeout=EVERYTHING_S
    )
    _assert_clean(_not_clean(judged), f"run {healthy_run}")
    built = [
        name
        for name, clause in load().clauses.items()
        if clause.built and (gpu_count() or not needs_gpu(clause.requires))
    ]
    assert all(judged.status(name)[0] == "pass" for name in built), "a built clause was left out"
    assert judged.report["verdict"]["exit_status"] == 0


@once_more
def test_what_is_handed_in_holds(healthy_run: int, tmp_path: Path, slow) -> None:
    handed = {"PYTEST_TRITON_HANDED_IN": str(handed_in(tmp_path / "handed_in"))}
    judged = judge(
        tmp_path / "run",
        HANDED_IN,
        environment=handed,
        deselect=slow("handed_in", ("BEN-01", "LDT-01", "TRB-02")),
    )
    assert judged.status("BEN-01")[0] in ("pass", "inconclusive"), f"false alarm: {judged.output}"
    assert judged.status("LDT-01") == ("pass", None), f"false alarm: {judged.output}"
    assert judged.status("TRB-02") == ("pass", None), f"false alarm: {judged.output}"


@once_more
def test_each_kind_of_subject_is_clean(baseline: Callable[[str], Judged]) -> None:
    for kind in KINDS:
        if kind == "gpu" and not gpu_count():
            continue
        _assert_clean(_not_clean(baseline(kind), deselected=True), kind)


def test_the_proxy_changes_nothing(
    baseline: Callable[[str], Judged],
    healthy_server: Deployment,
    tmp_path: Path,
    slow: Callable[..., list[str]],
) -> None:
    arguments = ["--triton-url", healthy_server.http_url, "--triton-allow-control",
                 "--triton-grpc-url", str(healthy_server.grpc_url), "--triton-metrics-url",
                 str(healthy_server.metrics_url), "--triton-allow-load"]  # fmt: skip
    direct = judge(tmp_path, arguments, deselect=slow("wire"))
    assert direct.statuses == baseline("wire").statuses
