"""Expert: settings that were chosen pay."""

from __future__ import annotations

import pytest

from pytest_triton.criteria import Inconclusive, NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject
from pytest_triton.tuning.ablated import PAYS, candidates, effects


@pytest.mark.clause("OPT-01")
def test_a_setting_pays(
    triton_subject: Subject,
    triton_settings: Settings,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
    triton_progress: object,
) -> None:
    assert candidates(triton_subject), (
        "no PyTorch model has a setting beyond a minimal configuration: dynamic_batching, "
        "instance_group, parameters or optimization"
    )
    seen = []
    for effect in effects(triton_subject, triton_settings, triton_server_factory, triton_progress):
        seen.append(effect)
        if effect.verdict == "pass":
            break
    if not seen:
        raise NotAssessed(Reason.BLOCKED, "no setting could be measured")
    triton_evidence.attach("settings.json", [effect.to_json() for effect in seen])
    best = max(seen, key=lambda effect: (effect.verdict == "pass", effect.throughput))
    triton_evidence.model = best.model
    triton_evidence.measure(
        "setting's throughput", best.throughput, "×", interval=best.throughput_interval,
        budget=1 + PAYS, margin=best.throughput - 1 - PAYS, samples=list(best.pairs),
    )  # fmt: skip
    told = "; ".join(str(effect) for effect in seen)
    if best.verdict != "pass" and any(effect.verdict == "inconclusive" for effect in seen):
        raise Inconclusive(f"{told}: too near to tell on this machine")
    assert best.verdict == "pass", f"{told}: none pays by {PAYS:.0%}"
