"""``pytest-triton load MODEL --stream``: the options, the table and the exit status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.commands import shared
from pytest_triton.errors import Misused, ToolError

if TYPE_CHECKING:
    from pytest_triton.loading.levels import Level
    from pytest_triton.loading.streaming import Streamed
    from pytest_triton.loading.sweep import Wanted
    from pytest_triton.loading.target import Target

#: Seconds for one stream where nothing is said.
TIMEOUT = 60.0
#: Options of streams alone.
_OWN = {"max_tokens": "--max-tokens", "prompt_tokens": "--prompt-tokens",
        "token_output": "--token-output", "skip_contents": "--skip-contents"}  # fmt: skip

options = shared.together(
    click.option("--stream", is_flag=True,
                 help="Measure token streams (a decoupled model is measured so anyway)."),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N",
                 help="Of a stream: the input max_tokens, or a request parameter where the model "
                 "has no such input (default: 32 for an input, as the model does otherwise)."),
    click.option("--prompt-tokens", type=click.IntRange(min=1), metavar="N",
                 help="Of a prompt that is made up: ids, or words.  [default: 32]"),
    click.option("--token-output", metavar="NAME",
                 help="Of a stream: the output that is read (default: the only one, token_ids or "
                 "text_output)."),
    click.option("--skip-contents", is_flag=True,
                 help="Of streams: do not compare them with what was said alone; in half precision "
                 "a model may say another token beside others."),
)  # fmt: skip


def wanted_streams(target: Target, given: dict[str, Any]) -> bool:
    """Whether streams are to be measured. Raises Misused for options that do not fit."""
    own = [flag for name, flag in _OWN.items() if given[name] not in (None, False)]
    analyzer = given["engine"] == "perf_analyzer"
    if analyzer and (given["stream"] or own):
        raise Misused("perf_analyzer is not asked for streams here",
                      "use --engine pytest-triton for --stream")  # fmt: skip
    found = not analyzer and (given["stream"] or target.decoupled)
    if not found:
        if own:
            raise Misused(f"{own[0]} is of token streams", "give --stream")
        return False
    if given["batch"] != 1:
        raise Misused("a stream has one row", "leave --batch out")
    if given["processes"] not in (None, 1):
        raise Misused("streams are measured by one process", "leave --processes out")
    if not given["stream"]:
        click.echo(f"{target.model} is decoupled: its token streams are measured", err=True)
    return True


def run(
    target: Target, wanted: Wanted, levels: Sequence[Level], given: dict[str, Any],
    json_file: Path | None, progress: tuple[Callable[[str], None], Callable[[], None]],
) -> None:  # fmt: skip
    """Measure, print and write; raises SystemExit as the command does."""
    from pytest_triton.load.records import to_json
    from pytest_triton.loading.prompts import Prompts
    from pytest_triton.loading.streaming import prepare, stream_record, sweep
    from pytest_triton.loading.table import remarks
    from pytest_triton.loading.token_table import conclusion, head, row
    from pytest_triton.probe.types import ProbeError

    say, clear = progress
    made: list[Streamed] = []

    def each(found: Streamed) -> None:
        clear()
        if not made:
            click.echo(head(levels[0].concurrency is not None))
        made.append(found)
        click.echo(row(found))

    prompts = Prompts(given["inputs"], given["max_tokens"], given["prompt_tokens"], given["seed"])
    ready = None
    try:
        ready = prepare(target, wanted, prompts, given["token_output"], say)
        if given["skip_contents"]:
            ready = replace(ready, uncompared="--skip-contents")
        sweep(target, wanted, ready, levels, say, each)
    except (ProbeError, OSError) as error:
        raise ToolError(f"{target.model} at {target.http_url}: {error}",
                        "is a Triton there, and ready?") from None  # fmt: skip
    finally:
        clear()
        if made and ready is not None:
            for line in [line for found in made for line in remarks(found.measured)]:
                click.echo(line)
            click.echo(conclusion(made, ready))
            records = [stream_record(found, target.model, ready) for found in made]
            shared.write(json_file, lambda: to_json(records))
    results = [found.measured.result for found in made]
    if any(result.doubts for result in results):
        raise SystemExit(12)
    if any(result.errors or result.wrong for result in results):
        raise SystemExit(1)
    if any(result.lateness for result in results):
        raise SystemExit(13)
