"""``pytest-triton load``: load on one model of a server that is there, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.commands import endpoint, load_streams, shared
from pytest_triton.errors import Misused

if TYPE_CHECKING:
    from pytest_triton.load.plan import Plan
    from pytest_triton.loading.levels import Level
    from pytest_triton.loading.sweep import Measured, Wanted
    from pytest_triton.loading.target import Target

_EPILOG = """\
Examples:

\b
  pytest-triton load classifier --url http://127.0.0.1:8000 --concurrency 1:32:8
  pytest-triton load classifier --protocol grpc --concurrency 1,8,64 --json load.json
  pytest-triton load classifier --request-rate 200 --arrivals poisson --duration 30
  pytest-triton load classifier --trace arrivals.csv
  pytest-triton load llm --stream --protocol grpc --concurrency 1,4,16 --max-tokens 128

--concurrency keeps requests in flight (a closed loop): what can it do? --request-rate and
--trace send at planned times, whatever the server does, and count latency from there (an open
loop): what do users see? Only the second one shows what a stall costs.

A decoupled model, and --stream, is asked for token streams: time to first token (TTFT),
inter-token latency (ITL), tokens a second.

Exit status: 0 every answer was right, 1 errors or wrong answers, 2 misuse, 12 the server or the
machine lacks something, or the numbers contradict each other and are not to be believed, 13 the
load could not be generated on time.
"""
#: Seconds for one request where nothing is said.
_TIMEOUT = 10.0
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(name="load", epilog=_EPILOG)
@click.argument("model")
@endpoint.where
@click.option("--concurrency", metavar="N | N,N | FROM:TO:STEP",
              help="Closed loop: requests in flight.  [default: 1]")  # fmt: skip
@click.option("--request-rate", metavar="R | R,R | FROM:TO:STEP",
              help="Open loop: requests a second.")  # fmt: skip
@click.option("--trace", type=_FILE, metavar="FILE",
              help="Open loop: arrivals as recorded, a time in seconds on each line.")  # fmt: skip
@click.option("--arrivals", type=click.Choice(["constant", "poisson"]), default="constant",
              show_default=True, help="How --request-rate is spread.")  # fmt: skip
@click.option("--duration", type=click.FloatRange(min=0.1, max=86400), default=5.0,
              show_default=True, help="Seconds of each level.")  # fmt: skip
@click.option("--warmup", type=click.FloatRange(min=0, max=3600), default=0.5, show_default=True,
              help="Seconds before each level that do not count.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True,
              help="Rows of a request.")  # fmt: skip
@endpoint.inputs
@endpoint.access
@click.option("--timeout", type=click.FloatRange(min=0.001),
              help="Seconds for one request.  [default: 10; of a whole stream 60]")  # fmt: skip
@click.option("--check-every", type=click.IntRange(min=1), default=10, show_default=True,
              help="The contents of every so many answers are compared; lengths always.")  # fmt: skip
@click.option("--processes", type=click.IntRange(min=1, max=256),
              help="That generate load (default: 1; of an open loop, what its rate needs).")  # fmt: skip
@click.option("--connections", type=click.IntRange(min=1), default=1000, show_default=True,
              help="Of an open loop, at most.")  # fmt: skip
@click.option("--engine", type=click.Choice(["pytest-triton", "perf_analyzer"]),
              default="pytest-triton", show_default=True,
              help="perf_analyzer has to be on PATH; it does not read the answers.")  # fmt: skip
@load_streams.options
@shared.seed("inputs and their order")
@click.option("--json", "json_file", type=shared.NewFile(), metavar="FILE",
              help="Every level as a record.")  # fmt: skip
def command(model: str, json_file: Path | None, **options: Any) -> None:
    """Drive load on MODEL and measure latency, throughput and what the server counts.

    Requests are distinct and seeded; each was answered alone before. Under load every answer is
    read to its end, and the contents of a sample are compared. The server's statistics have to
    count what the client counts.
    """
    from pytest_triton.load.records import to_json
    from pytest_triton.loading.sweep import Wanted, conclusion, record, sweep
    from pytest_triton.loading.table import head, remarks, row
    from pytest_triton.probe.types import ProbeError

    trace, levels = _levels(options)
    target = endpoint.target(model, options)
    try:
        streams = load_streams.wanted_streams(target, options)
    except ProbeError as error:
        raise endpoint.gone(target, error) from None
    timeout = options["timeout"] or (load_streams.TIMEOUT if streams else _TIMEOUT)
    wanted = Wanted(
        options["protocol"], options["duration"], options["warmup"], options["batch"],
        options["arrivals"], trace, options["check_every"], timeout,
        options["processes"], options["connections"],
    )  # fmt: skip
    closed = levels[0].concurrency is not None
    if options["engine"] == "perf_analyzer":
        _analyze(target, wanted, levels, json_file)
        return
    progress = endpoint.Progress()
    if streams:
        told = (progress.say, progress.clear)
        load_streams.run(target, wanted, levels, options, json_file, told)
        return
    made: list[Measured] = []

    def each(found: Measured) -> None:
        progress.clear()
        if not made:
            click.echo(head(closed))
        made.append(found)
        click.echo(row(found))

    try:
        sweep(target, wanted, levels, progress.say, each)
    except ProbeError as error:
        raise endpoint.gone(target, error) from None
    finally:
        progress.clear()
        records = [record(found, model) for found in made]
        if made:
            for line in [line for found in made for line in remarks(found)]:
                click.echo(line)
            click.echo(conclusion(made))
            shared.write(json_file, lambda: to_json(records))
    if any(found.result.doubts for found in made):
        raise SystemExit(12)
    if any(found.result.errors or found.result.wrong for found in made):
        raise SystemExit(1)
    if any(found.result.lateness for found in made):
        raise SystemExit(13)


def _analyze(target: Target, wanted: Wanted, levels: list[Level], json_file: Path | None) -> None:
    """The same table and records, measured by perf_analyzer."""
    from pytest_triton.load.records import to_json
    from pytest_triton.loading.analyzer import Analyzed, analyze
    from pytest_triton.loading.table import analyzed_row, head
    from pytest_triton.probe.types import ProbeError

    made: list[Analyzed] = []
    progress = endpoint.Progress()

    def each(found: Analyzed) -> None:
        progress.clear()
        if not made:
            click.echo(head(levels[0].concurrency is not None))
        made.append(found)
        click.echo(analyzed_row(found.record))

    try:
        analyze(target, wanted, levels, progress.say, each)
    except ProbeError as error:
        raise endpoint.gone(target, error) from None
    finally:
        progress.clear()
        if made:
            click.echo("measured by perf_analyzer, which times answers and does not read them")
            shared.write(json_file, lambda: to_json([found.record for found in made]))


def _levels(options: dict[str, Any]) -> tuple[Plan | None, list[Level]]:
    from pytest_triton.load.plan import read_trace
    from pytest_triton.loading.levels import Level, concurrencies, rates

    given = [name for name in ("concurrency", "request_rate", "trace") if options[name] is not None]
    if len(given) > 1:
        raise Misused(
            "give one of --concurrency, --request-rate and --trace",
            "a closed loop or an open one, not both",
        )
    if options["trace"]:
        trace = read_trace(options["trace"])
        return trace, [Level(rate=trace.rate)]
    if options["request_rate"] is not None:
        return None, rates(options["request_rate"])
    return None, concurrencies(options["concurrency"] or "1")
