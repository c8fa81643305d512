"""``pytest-triton locust``: load from workers on several machines, through Locust."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pytest_triton.commands import shared
from pytest_triton.commands.shared import NewFile
from pytest_triton.errors import Misused, ToolError

_EPILOG = """\
Examples:

\b
  pytest-triton locust mlp --url http://127.0.0.1:8000 --users 64
  pytest-triton locust mlp --url http://HOST:8000 --users 512 --workers 4 \\
      --expect-workers 12 --bind 0.0.0.0 --port 5557
  pytest-triton locust --join MASTER:5557        # on each of the other machines, as often as it has cores

Exit status: 0 measured, 2 misuse, 12 no Locust, no server, workers that are lost, or no answer
that is right.
"""
#: Requests that are prepared.
DISTINCT = 64


@click.command(name="locust", epilog=_EPILOG)
@click.argument("model", required=False)
@click.option("--url", help="The server's HTTP address, as the workers reach it.")
@click.option("--users", type=click.IntRange(min=1), default=32, show_default=True,
              help="Requests in flight, over all workers.")  # fmt: skip
@click.option("--duration", type=click.FloatRange(min=0.5), default=10.0, show_default=True,
              help="Seconds that are measured.")  # fmt: skip
@click.option("--warmup", type=click.FloatRange(min=0.5), default=2.0, show_default=True,
              help="Seconds before that.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=0), default=2, show_default=True,
              help="Workers that are started here.")  # fmt: skip
@click.option("--expect-workers", type=click.IntRange(min=1),
              help="In all; the others join within five minutes.  [default: --workers]")  # fmt: skip
@click.option("--bind", default="127.0.0.1", show_default=True,
              help="Address on which workers join; who reaches it can join.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=5557, show_default=True,
              help="Its port; 0 takes a free one.")  # fmt: skip
@click.option("--header", multiple=True, metavar="'N: v'",
              help="A header for every request; workers get it in the clear. Repeatable.")  # fmt: skip
@click.option("--inputs", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              metavar="FILE", help="Inputs, as --triton-inputs takes them.")  # fmt: skip
@shared.seed("inputs that are made up, and their order")
@click.option("--json", "json_file", type=NewFile(), metavar="FILE",
              help="Write the record as JSON.")  # fmt: skip
@click.option("--join", metavar="HOST:PORT", help="Be a worker of that master, and nothing else.")
def command(
    model: str | None, url: str | None, join: str | None, json_file: Path | None, **options: Any
) -> None:
    """Keep --users requests to MODEL in flight from several processes and machines.

    Inputs are distinct, answers are read strictly, and one of ten is compared with what the
    same input got alone. Latencies are those that the workers saw, not Locust's rounded ones.
    """
    if join:
        _join(join)
    if not model or not url:
        raise Misused("says no MODEL or no --url", "pytest-triton locust MODEL --url URL")
    from pytest_triton.load.records import to_json

    record = _measured(model, url, **options)
    for line in table(record.to_json()):
        click.echo(line)
    shared.write(json_file, lambda: to_json([record]))
    if not record.throughput_rps:
        raise ToolError(f"{model} gave no right answer", "see the errors above")


def _join(join: str) -> None:
    """Become a worker: Locust has to be imported before anything else."""
    from importlib.util import find_spec

    from pytest_triton.load.locusting import driving

    host, _, port = join.rpartition(":")
    if not host or not port.isdigit():
        raise Misused(f"--join {join!r} is not HOST:PORT", "write it like 10.0.0.1:5557")
    if find_spec("locust") is None:
        raise ToolError("Locust is not installed here", driving.INSTALL)
    program = str(Path(driving.__file__).with_name("worker.py"))
    os.execv(sys.executable, [sys.executable, program, host, port])


def _measured(model: str, url: str, **options: Any) -> Any:
    from dataclasses import replace

    from pytest_triton.launch.attach import attach
    from pytest_triton.load.locusting.driving import drive_with_locust
    from pytest_triton.load_tested import NONE, requests_seen
    from pytest_triton.measuring import prepare
    from pytest_triton.options import UNBOUNDED
    from pytest_triton.settings import Settings
    from pytest_triton.subject import Subject

    settings = Settings(
        url=url, header=options["header"], seed=options["seed"], inputs=options["inputs"],
        allow_load=UNBOUNDED,
    )  # fmt: skip
    subject = Subject(attach(url, headers=settings.headers), settings)
    try:
        if obstacle := subject.obstacle("live"):
            raise ToolError(obstacle, "look whether the server is there")
        if model not in subject.models:
            ready = ", ".join(subject.models) or "none"
            raise ToolError(f"{model} is not ready; ready are {ready}", "name one of them")
        requests = prepare(subject, model, count=DISTINCT)
        before = requests_seen(subject)
        record = drive_with_locust(
            subject.deployment.http_url, requests, users=options["users"],
            duration_s=options["duration"], warmup_s=options["warmup"], model=model,
            workers=options["workers"], expect_workers=options["expect_workers"],
            bind=options["bind"], bind_port=options["port"], seed=settings.seed,
            headers=settings.headers, progress=shared.say,
        )  # fmt: skip
        seen = requests_seen(subject).get(model, NONE).total - before.get(model, NONE).total
    finally:
        subject.close()
    sent = record.more["sent"]
    if abs(seen - sent) > 0.01 * sent:
        shared.say(f"note: {sent} requests were sent, the server counted {seen}")
    return replace(record, more={**record.more, "seen": seen})


def table(record: Mapping[str, Any]) -> list[str]:
    """A record for people."""
    latency = record["latency_us"]
    told = ", ".join(
        f"{name} {latency[name] / 1e3:.3g}"
        for name in ("mean", "p50", "p90", "p95", "p99")
        if latency[name] is not None
    )
    lines = [
        f"{record['model']}: concurrency {record['concurrency']} from {record['workers']} workers, "
        f"{record['throughput_rps']:.1f} requests/s for {record['duration_s']:g} s",
        f"  latency    {told or 'none'} ms",
        f"  requests   {record['requests']}, {record['errors']} without a right answer; "
        f"{record['checked']} read against what is right",
        f"  the server counted {record['seen']} of {record['sent']} sent, warm-up included",
    ]
    return lines + [f"  {count} × {text}" for text, count in record["error_texts"].items()]
