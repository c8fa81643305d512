"""pytest-triton load --stream on a real server: known times, both protocols, and faults."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_triton.cli import cli
from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install
from pytest_triton.load.records import from_json
from pytest_triton.load.stats import percentile

sys.path.append(str(Path(__file__).parent))
from streaming_models import write_models

PROTOCOLS = ("grpc", "http")


@dataclass(frozen=True)
class Served:
    deployment: Deployment
    repository: Path

    def load(self, model: str, *arguments: str) -> Result:
        """Of the whole command."""
        there = self.deployment
        return CliRunner().invoke(
            cli, ["load", model, "--url", there.http_url, "--grpc-url", str(there.grpc_url),
                  "--warmup", "0.2", "--duration", "1", "--max-tokens", "6",
                  "--prompt-tokens", "5", *arguments],
        )  # fmt: skip

    def stamps(self, model: str) -> list[tuple[float, list[float]]]:
        """What the model says: when each request came, and when each token went."""
        lines = (self.repository / model / "stamps.jsonl").read_text().splitlines()
        return [(began, sent) for began, sent in map(json.loads, lines)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    install()
    repository = tmp_path_factory.mktemp("streaming") / "models"
    write_models(repository)
    with embedded(ServerSpec(repository, device="cpu")) as deployment:
        yield Served(deployment, repository)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_times_are_those_of_the_model(served: Served, tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "load.json"
    before = len(served.stamps("steady"))
    done = served.load(
        "steady", "--protocol", protocol, "--concurrency", "1,4", "--json", str(file)
    )
    assert done.exit_code == 0, done.output
    assert "steady is decoupled: its token streams are measured" in done.output
    assert "TTFT p50" in done.output
    assert "streams compared with what they were alone" in done.output
    records = from_json(file.read_text())
    assert [record.concurrency for record in records] == [1, 4]
    own = served.stamps("steady")[before:]
    ttft = percentile([1e3 * (sent[0] - began) for began, sent in own], 50)
    itl = percentile([1e3 * (sent[-1] - sent[0]) / (len(sent) - 1) for _, sent in own], 50)
    for record in records:
        stream: Any = record.stream
        assert record.protocol == protocol
        assert record.errors == record.more["wrong"] == 0
        assert record.more["checked"] == record.requests > 0
        assert record.more["doubts"] == []
        assert stream["ttft_ms"]["p50"] == pytest.approx(ttft, rel=0.5)
        assert stream["itl_ms"]["p50"] == pytest.approx(itl, rel=0.5)
        assert stream["ttft_ms"]["p50"] > 45
        assert stream["tokens_per_s"] == pytest.approx(6 * record.throughput_rps, rel=0.5)
        assert stream["tokens_per_s_per_user"] == pytest.approx(1e3 / stream["itl_ms"]["p50"])
        assert abs(record.server["requests"] - record.requests) <= 8
