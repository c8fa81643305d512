"""Serve the arms and measure each against the base, interleaved in pairs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pytest_triton.ablating.arms import BASE, Arm
from pytest_triton.ablating.asking import requests_of
from pytest_triton.ablating.building import build
from pytest_triton.ablating.concluding import conclude
from pytest_triton.ablating.found import Ablation, Result
from pytest_triton.ablating.session import Asked, Ended, Progress, Session, Wanted
from pytest_triton.ablating.sources import Source
from pytest_triton.deployment import Deployment
from pytest_triton.errors import Misused
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe
from pytest_triton.repository.config import is_complete, read_config


def ablate(
    source: Source, arms: Sequence[Arm], work: Path, wanted: Wanted, *,
    device: str, release: str, say: Progress,
) -> Ablation:  # fmt: skip
    """Make the arms below ``work``, serve them, and measure each against the base.

    ``device``: "cpu" or "gpu". Raises Misused and ToolError where the base cannot be made or
    served; an arm that cannot is a result.
    """
    repository = work / "repository"
    repository.mkdir(parents=True)
    signature, built = build(source, arms, repository, say)
    most = signature.max_batch_size
    if max(wanted.batches) > max(most, 1):
        raise Misused(
            f"--batch {max(wanted.batches)}: the model takes {most} rows at most",
            f"give --batch up to {max(most, 1)}",
        )
    asked = Asked()
    for batch in wanted.batches:
        asked.requests[batch] = requests_of(signature, batch, wanted.length, wanted.seed)
    say(f"asking {source.reference}")
    for batch, requests in asked.requests.items():
        if (answers := source.answers(requests)) is not None:
            asked.answers[batch] = answers
    spec = ServerSpec(
        repository, models=(), device=device, release=release, log_path=work / "server.log",
        # a second process that completes what is complete would be most of the time to load
        auto_complete=False if is_complete(read_config(repository / BASE)) else None,
    )  # fmt: skip
    with embedded(spec, progress=say) as server:
        made = Ablation(
            source.name, source.kind, source.reference, source.choice(), wanted.length,
            wanted.seconds, wanted.pairs, wanted.seed, _versions(server),
        )  # fmt: skip
        try:
            Session(server, made, asked, wanted, source.precision, say).run(built)
        except Ended as error:  # what is measured is kept, and the rest is no fault of its arms
            if not made.measured:
                raise
            made.ended = error.message
            made.arms += [
                Result(one.arm.name, one.arm.title, one.bytes, one.refused,
                       "" if one.refused else "the server had ended")
                for one in built[len(made.arms):]
            ]  # fmt: skip
    conclude(made)
    return made


def _versions(server: Deployment) -> dict[str, Any]:
    import torch

    with closing(HttpProbe(server.http_url)) as http:
        version = str(http.server_metadata().get("version"))
    gpu = server.device == "gpu"
    return {
        "triton": version, "release": server.release, "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "cores": len(os.sched_getaffinity(0)),
    }  # fmt: skip
