"""``pytest-triton objectives``: availability, latency, TTFT and ITL over a window, by both accounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.commands import endpoint, shared
from pytest_triton.errors import Misused, ToolError

if TYPE_CHECKING:
    from pytest_triton.loading.target import Target
    from pytest_triton.objectives.seen import Seen
    from pytest_triton.objectives.stating import Objective

_EPILOG = """\
Examples:

\b
  pytest-triton objectives classifier --availability 99.5 --p95-ms 50 --window 60
  pytest-triton objectives llm --protocol grpc --ttft-p95-ms 300 --itl-p95-ms 40 --request-rate 2
  pytest-triton objectives --file budgets.toml --url https://triton.example

Availability is the share of requests with a good answer: by the clients' account, and by the
server's counters, which know nothing of a full queue, a gateway's 503 or a refused request.

Exit status: 0 every objective is kept, 1 one is not, 2 misuse, 12 the accounts contradict each other,
or the server lacks something, 13 the window was too short or the machine too noisy to tell.
"""
#: Seconds of a window where nothing is said.
_WINDOW_S = 60.0
_MS = click.FloatRange(min=0, min_open=True)


@click.command(name="objectives", epilog=_EPILOG)
@click.argument("model", required=False)
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="[[objective]] tables, of as many models as there are.")  # fmt: skip
@endpoint.where
@click.option("--availability", type=click.FloatRange(0, 100, min_open=True, max_open=True),
              help="Percent of requests with a good answer.  [default: 99]")  # fmt: skip
@click.option("--p50-ms", type=_MS, help="Latency at most; --p95-ms and --p99-ms alike.")
@click.option("--p95-ms", type=_MS)
@click.option("--p99-ms", type=_MS)
@click.option("--ttft-p50-ms", type=_MS, help="Time to first token at most; --ttft-p95-ms alike.")
@click.option("--ttft-p95-ms", type=_MS)
@click.option("--itl-p50-ms", type=_MS, help="Inter-token latency at most; --itl-p95-ms alike.")
@click.option("--itl-p95-ms", type=_MS)
@click.option("--request-rate", "rate", type=_MS, help="Open loop: requests a second.")
@click.option("--concurrency", type=click.IntRange(min=1),
              help="Closed loop: requests in flight.  [default: 1]")  # fmt: skip
@click.option("--window", "window_s", type=click.FloatRange(min=0.5, max=86400),
              help="Seconds.  [default: 60]")  # fmt: skip
@click.option("--max-tokens", type=click.IntRange(min=1), help="Of a stream.  [default: 16]")
@endpoint.inputs
@endpoint.access
@shared.seed("inputs and their order")
@click.option("--json", "json_file", type=shared.NewFile(), metavar="FILE",
              help="Every number.")  # fmt: skip
def command(model: str | None, file: Path | None, json_file: Path | None, **options: Any) -> None:
    """Judge objectives of MODEL, or those of a --file, on a server that is there."""
    from pytest_triton.objectives.told import lines, to_json
    from pytest_triton.probe.types import ProbeError

    progress = endpoint.Progress()
    seen: list[Seen] = []
    for objective in _objectives(model, file, options):
        target = endpoint.target(objective.model, options)
        try:
            found = _measured(target, objective, options, progress)
        except ProbeError as error:
            raise endpoint.gone(target, error) from None
        finally:
            progress.clear()
        seen.append(found)
        for line in lines(found):
            click.echo(line)
    shared.write(json_file, lambda: json.dumps(to_json(seen), indent=1, allow_nan=False) + "\n")
    if any(one.contradiction for one in seen):
        raise SystemExit(12)
    verdicts = {found.verdict for one in seen for found in one.judged}
    raise SystemExit(1 if "fail" in verdicts else 13 if "inconclusive" in verdicts else 0)


def _objectives(model: str | None, file: Path | None, options: dict[str, Any]) -> list[Objective]:
    from pytest_triton.objectives.stating import AVAILABILITY, LATENCIES, STREAMS, Objective, read

    names = ("availability", *LATENCIES, *STREAMS, "rate", "concurrency", "window_s", "max_tokens")
    given = {name: options[name] for name in names if options[name] is not None}
    if (model is None) == (file is None):
        raise Misused("name a MODEL, or give --file", "one of them, not both")
    if file is not None:
        if given:
            raise Misused(
                "objectives stand in --file",
                f"leave --{next(iter(given)).replace(chr(95), chr(45))} out",
            )
        found = read(file)
        if not found:
            raise ToolError(f"{file} has no [[objective]]", "see docs/how-to/state-an-objective.md")
        return found
    if options["rate"] and options["concurrency"]:
        raise Misused(
            "give one of --request-rate and --concurrency", "an open loop or a closed one"
        )
    return [Objective(str(model), **{"availability": AVAILABILITY, **given})]


def _measured(
    target: Target, objective: Objective, options: dict[str, Any], progress: endpoint.Progress
) -> Seen:
    from pytest_triton.loading.sweep import Wanted
    from pytest_triton.objectives import seen

    seconds = objective.window_s or _WINDOW_S
    if target.decoupled:
        return seen.streams(target, objective, options["protocol"], seconds, say=progress.say)
    if objective.streams:
        raise Misused(f"{target.model} does not stream: it has no TTFT and no ITL",
                      "state a latency: --p95-ms")  # fmt: skip
    wanted = Wanted(options["protocol"], seconds, 0.0)
    return seen.plain(target, objective, wanted, progress.say)
