"""``pytest-triton bottleneck``: where a request's time goes, what limits, and what to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.commands import endpoint, shared
from pytest_triton.errors import Misused, ToolError

if TYPE_CHECKING:
    from pytest_triton.bottleneck.facts import Facts
    from pytest_triton.bottleneck.measuring import Analysed

_EPILOG = """\
Examples:

\b
  pytest-triton bottleneck classifier --url http://127.0.0.1:8000
  pytest-triton bottleneck --concurrency 1,8,64 --html bottleneck.html
  pytest-triton bottleneck classifier --metrics-url http://gpu-box:8002/metrics

Letters of the bar: o outside the server, f its front end, q queue, i input, m infer, t output.
"busy" is the share of the time for which instances worked, "cpu" how much of the processors is
in use by anybody; both are – where nobody tells.
"""


@click.command(name="bottleneck", epilog=_EPILOG)
@click.argument("models", nargs=-1)
@endpoint.where
@click.option("--metrics-url", metavar="URL",
              help="Utilization of a server elsewhere, and of GPUs (default: 8002 beside "
              "8000).")  # fmt: skip
@click.option("--concurrency", default="1,2,4,8,16", show_default=True,
              metavar="N | N,N | FROM:TO:STEP", help="Requests in flight.")  # fmt: skip
@click.option("--duration", type=click.FloatRange(min=0.2, max=3600), default=2.0,
              show_default=True, help="Seconds of each level; a slow model gets more.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True,
              help="Rows of a request.")  # fmt: skip
@endpoint.inputs
@endpoint.access
@shared.seed("inputs and their order")
@shared.written
def command(
    models: tuple[str, ...], json_file: Path | None, html_file: Path | None, **options: Any
) -> None:
    """Find what limits MODELS (default: every ready one that load can be driven on).

    Each is driven at every concurrency. The server's own statistics say how a request's time
    divides into queue, input, infer and output; what the client sees beyond is the way, and
    the machine's processors, cards and other programs decide between causes that look alike.
    """
    from pytest_triton.bottleneck.measuring import measure, to_json
    from pytest_triton.bottleneck.table import HEAD, LEGEND, conclusion, row
    from pytest_triton.launch.attach import attach
    from pytest_triton.loading.levels import concurrencies
    from pytest_triton.loading.sweep import Wanted
    from pytest_triton.probe.types import ProbeError

    levels = concurrencies(options["concurrency"])
    wanted = Wanted(options["protocol"], options["duration"], 0.5, options["batch"], timeout_s=30.0)
    metrics = options["metrics_url"] or attach(options["url"]).metrics_url
    progress = endpoint.Progress()
    made: list[Analysed] = []

    def each(level: Facts) -> None:
        progress.clear()
        click.echo(row(level))

    for name in models or _ready(options):
        target = endpoint.target(name, options)
        try:
            config = target.config
            progress.clear()
            click.echo(f"\n{name} · max_batch_size {config.get('max_batch_size', 0)} · "
                       f"{target.instances} instance{'s' if target.instances > 1 else ''}")  # fmt: skip
            click.echo(HEAD)
            found = measure(target, wanted, levels, metrics, progress.say, each)
        except (Misused, ToolError) as error:
            if models:
                raise
            progress.clear()
            click.echo(f"  left out: {error.message}")
            continue
        except ProbeError as error:
            raise endpoint.gone(target, error) from None
        finally:
            progress.clear()
        made.append(found)
        for line in conclusion(found):
            click.echo(line)
    if not made:
        raise ToolError("no model could be analysed", "name one that takes plain requests")
    click.echo(f"\n{LEGEND}")
    document = to_json(made)
    shared.write(json_file, lambda: json.dumps(document, indent=1, allow_nan=False) + "\n")
    if html_file:
        from pytest_triton.reports.bottleneck import page

        shared.write(html_file, lambda: page(document))
    if any(level.doubts for found in made for level in found.levels):
        for text in dict.fromkeys(
            text for found in made for level in found.levels for text in level.doubts
        ):
            click.echo(f"not to be believed: {text}", err=True)
        raise SystemExit(12)


def _ready(options: dict[str, Any]) -> list[str]:
    """Every ready model of the server."""
    from pytest_triton.probe.types import ProbeError

    target = endpoint.target("", options)
    try:
        entries = target.http.index()
    except ProbeError as error:
        raise ToolError(f"{options['url']}: {error}", "is a Triton there, and ready?") from None
    return sorted({str(entry["name"]) for entry in entries if entry.get("state") == "READY"})
