"""Every fault is noticed by its clause, and by no clause that it does not name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from faulty.data import Fault, read_faults
from faulty.edits import break_repository
from faulty.judge import Judged, judge
from faulty.submitted import HANDED_IN, MONITORING, handed_in
from faulty.verdict import complaints, idle_rules
from faulty.wire import Proxy

FAULTS = read_faults()
Baseline = Callable[..., Judged]
Slow = Callable[..., list[str]]


def _of(kind: str) -> list[Fault]:
    return [fault for fault in FAULTS if fault.kind == kind]


def _assert(found: list[str], judged: Judged) -> None:
    assert not found, "\n".join([*found, f"({judged.seconds:.1f} s)", judged.output[-1500:]])


@pytest.mark.parametrize("fault", _of("wire"), ids=lambda fault: fault.id)
def test_wire(fault: Fault, proxy: Proxy, tmp_path: Path, baseline: Baseline, slow: Slow) -> None:
    _on_the_wire(fault, proxy, tmp_path, baseline, slow)


@pytest.mark.parametrize("fault", _of("probes"), ids=lambda fault: fault.id)
def test_probes(
    fault: Fault, probes_proxy: Proxy, tmp_path: Path, baseline: Baseline, slow: Slow
) -> None:
    _on_the_wire(fault, probes_proxy, tmp_path, baseline, slow)


@pytest.mark.parametrize("fault", _of("gpu"), ids=lambda fault: fault.id)
def test_gpu(
    fault: Fault, gpu_proxy: Proxy, tmp_path: Path, baseline: Baseline, slow: Slow
) -> None:
    _on_the_wire(fault, gpu_proxy, tmp_path, baseline, slow)


def _on_the_wire(
    fault: Fault, proxy: Proxy, directory: Path, baseline: Baseline, slow: Slow
) -> None:
    healthy = baseline(fault.kind).statuses
    proxy.rules(list(fault.rule))
    try:
        judged = judge(
            directory, [*proxy.arguments, *fault.arguments], deselect=slow(fault.kind, fault.runs)
        )
    finally:
        told = proxy.rules([])
    _assert(complaints(fault, judged, healthy) + idle_rules(fault, told), judged)


@pytest.mark.parametrize("fault", _of("repository"), ids=lambda fault: fault.id)
def test_repository(
    fault: Fault,
    healthy_repository: Path,
    tmp_path: Path,
    baseline: Baseline,
    slow: Slow,
) -> None:
    healthy = baseline("repository", fault.models).statuses
    broken = break_repository(healthy_repository, tmp_path / "repository", fault.edit)
    judged = judge(
        tmp_path / "run",
        [
            "--triton-device",
            "cpu",
            "--triton-models",
            fault.models,
            "--triton-repository",
            str(broken),
            *fault.arguments,
        ],
        deselect=slow(fault.kind, fault.runs),
    )
    _assert(complaints(fault, judged, healthy), judged)


@pytest.mark.parametrize("fault", _of("handed_in"), ids=lambda fault: fault.id)
def test_handed_in(fault: Fault, tmp_path: Path, baseline: Baseline, slow: Slow) -> None:
    _handed_in(fault, HANDED_IN, tmp_path, baseline, slow)


@pytest.mark.parametrize("fault", _of("monitoring"), ids=lambda fault: fault.id)
def test_monitoring(fault: Fault, tmp_path: Path, baseline: Baseline, slow: Slow) -> None:
    _handed_in(fault, MONITORING, tmp_path, baseline, slow)


def _handed_in(
    fault: Fault, arguments: list[str], tmp_path: Path, baseline: Baseline, slow: Slow
) -> None:
    healthy = baseline(fault.kind).statuses
    directory = handed_in(tmp_path / "handed_in", fault.edit)
    judged = judge(
        tmp_path / "run",
        arguments,
        environment={"PYTEST_TRITON_HANDED_IN": str(directory)},
        deselect=slow(fault.kind, fault.runs),
    )
    _assert(complaints(fault, judged, healthy), judged)


@pytest.mark.parametrize("fault", _of("server"), ids=lambda fault: fault.id)
def test_server(
    fault: Fault,
    private_cache: Path,
    healthy_repository: Path,
    tmp_path: Path,
    baseline: Baseline,
    slow: Slow,
) -> None:
    from faulty import servers

    healthy = baseline("server", fault.models).statuses
    broken = None
    if fault.edit:
        broken = break_repository(healthy_repository, tmp_path / "repository", fault.edit)
    environment = {"PYTEST_TRITON_CACHE": str(private_cache)}
    environment |= servers.order(fault, tmp_path, broken)
    judged = judge(
        tmp_path / "run",
        ["--triton-device", "cpu", "--triton-models", fault.models, *fault.arguments],
        environment=environment,
        deselect=slow(fault.kind, fault.runs),
    )
    found = complaints(fault, judged, healthy)
    if fault.rule:
        told = servers.told_by(tmp_path)
        idle = [idle_rules(fault, each) for each in told]
        found += [] if any(not each for each in idle) else (idle or [["the proxy told nothing"]])[0]
    _assert(found, judged)
