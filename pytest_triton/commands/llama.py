"""``pytest-triton llama``: a Llama served in two forms, judged against transformers, and timed."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.commands import shared
from pytest_triton.commands.shared import Numbers
from pytest_triton.errors import Misused

if TYPE_CHECKING:
    from pytest_triton.llama.architecture import Llama
    from pytest_triton.llama.room import Form

_EPILOG = """\
Examples:

\b
  pytest-triton llama
  pytest-triton llama --size 7b --dtype bfloat16 --device gpu --streams 1,4,16
  pytest-triton llama ./Llama-2-7b-hf --dtype float16 --html llama.html
  pytest-triton llama --build-only --repository ./model_repository

Exit status: 0 all checks pass, 1 one fails, 13 one cannot tell, 2 and 12 as everywhere.
"""


@click.command(name="llama", epilog=_EPILOG)
@click.argument("directory", required=False,
                type=click.Path(path_type=Path, exists=True, file_okay=False))  # fmt: skip
@click.option(
    "--size", type=click.Choice(["small", "7b"]), default="small", show_default=True,
    help="Without DIRECTORY: the shape of the model, with random weights of --seed.",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Of weights and computation (default: bfloat16 for 7b on a GPU, else float32).",
)  # fmt: skip
@shared.device
@click.option(
    "--form", "forms", type=click.Choice(["stream", "logits"]), multiple=True,
    help="Which form (repeatable; default: both).",
)  # fmt: skip
@click.option(
    "--streams", "concurrencies", type=Numbers(), default="1,4,16", show_default=True,
    help="Streams at once.",
)  # fmt: skip
@click.option(
    "--tokens", type=click.IntRange(min=4), default=48, show_default=True,
    help="Greedy tokens of each text.",
)  # fmt: skip
@click.option(
    "--prompt-tokens", type=click.IntRange(min=1), default=32, show_default=True,
    help="Tokens of a prompt, at most.",
)  # fmt: skip
@click.option(
    "--prompt", "texts", multiple=True, metavar="TEXT",
    help="Asked by text (repeatable); takes the tokenizer of DIRECTORY.",
)  # fmt: skip
@click.option(
    "--max-length", type=click.IntRange(min=16), default=512, show_default=True,
    help="Tokens of a stream, prompt included: the size of its cache.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True,
    help="Of torch on a CPU, for model and reference alike.",
)  # fmt: skip
@click.option(
    "--rounds", type=click.IntRange(min=2), default=4, show_default=True,
    help="How often everything is measured, in turning order.",
)  # fmt: skip
@shared.release
@shared.seed("weights and prompts")
@click.option("--repository", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keep the model repository there.")  # fmt: skip
@click.option("--build-only", is_flag=True, help="Write the repository and stop.")
@shared.written
@click.pass_context
def command(
    context: click.Context, /, directory: Path | None, json_file: Path | None,
    html_file: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Serve a Llama through Triton as TorchScript logits and as a stream of tokens, and judge it.

    DIRECTORY holds a Llama as save_pretrained() wrote it or as it was downloaded (safetensors;
    nothing is fetched). Without it, the weights are random: speed is that of the real model,
    its text is not. Greedy tokens have to be those of transformers' generate() up to
    the first place at which the reference's own rounding decides, which float32 hardly ever has.
    TTFT, ITL and tokens a second are measured over gRPC and generate_stream in turn with
    generate(); counters are compared, and streams are left to see that the work stops.
    """
    from pytest_triton.launch.overlay import overlay
    from pytest_triton.launch.store import find_server
    from pytest_triton.llama.checkpoint import has_tokenizer
    from pytest_triton.llama.judging import Asked, build, judge, seeded_prompts
    from pytest_triton.llama.room import FORMS, plan, room_of
    from pytest_triton.llama.table import table
    from pytest_triton.llama.words import Words

    if options["build_only"] and options["repository"] is None:
        raise Misused("--build-only keeps nothing without --repository", "name a directory")
    llama, name = _llama(directory, options)
    forms: tuple[Form, ...] = tuple(dict.fromkeys(options["forms"])) or FORMS
    tokens, longest = options["tokens"], options["prompt_tokens"]
    texts = options["texts"] or ("Once upon a time",)
    words = Words(directory) if options["texts"] or has_tokenizer(directory) else None
    if words is not None:
        for text in texts:
            _check_length(text, len(words.encode(text)) + tokens, llama.max_length)
    find_server(options["release"])  # what lacks is told before anything long is done
    overlay(progress=shared.say)
    asked = Asked(
        forms, seeded_prompts(llama, llama.streams, longest), tokens, options["concurrencies"],
        options["rounds"], options["release"], words, texts,
    )  # fmt: skip
    with ExitStack() as stack:
        kept = options["repository"]
        work = kept or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="pytest-triton-llama-"))
        )
        place = next(path for path in (work, *work.absolute().parents) if path.exists())
        room = room_of(llama.device, place)
        found = plan(llama, forms, room)
        shared.say(f"memory {found.told(room)}")
        repository = work if kept else work / "model_repository"
        build(repository, llama, forms, longest + tokens, shared.say)
        if options["build_only"]:
            click.echo(str(repository))
            return
        judged = judge(llama, name, repository, found, asked, shared.say)
    made = judged.to_json()
    for line in table(made):
        click.echo(line)
    shared.write(json_file, lambda: json.dumps(made, indent=1) + "\n")
    if html_file:
        from pytest_triton.reports.llama import page

        shared.write(html_file, lambda: page(made))
    context.exit({"pass": 0, "fail": 1, "inconclusive": 13}[judged.status])


def _llama(directory: Path | None, options: dict[str, Any]) -> tuple[Llama, str]:
    """What is served. Raises Misused and ToolError before anything is loaded."""
    from pytest_triton.llama.architecture import SHAPES, Llama, read
    from pytest_triton.llama.checkpoint import check_weights

    device = shared.computing(options["device"])
    if directory is not None:
        config = read(directory)
        check_weights(directory, config)
    else:
        config = SHAPES[options["size"]]
    large = directory is not None or options["size"] == "7b"
    dtype = options["dtype"] or ("bfloat16" if large and device == "gpu" else "float32")
    length = options["max_length"]
    longest = int(config.get("max_position_embeddings") or length)
    if length > longest:
        raise Misused(f"--max-length {length}: the model has {longest} positions",
                      f"at most {longest}")  # fmt: skip
    if options["prompt_tokens"] + options["tokens"] > length:
        raise Misused(
            f"{options['prompt_tokens']} tokens of prompt and {options['tokens']} more are "
            f"longer than --max-length {length}",
            "fewer --tokens, or a larger --max-length",
        )
    if int(config["vocab_size"]) < 8:
        raise Misused("a vocabulary of fewer than 8 tokens", "give a real model")
    llama = Llama(config, directory, options["seed"], dtype, device,
                  max(options["concurrencies"]), length, options["threads"])  # fmt: skip
    return llama, directory.resolve().name if directory else f"Llama of shape {options['size']}"


def _check_length(text: str, length: int, most: int) -> None:
    if length > most:
        raise Misused(f"{text!r:.60} and its answer are {length} tokens, --max-length is {most}",
                      "a shorter prompt, fewer --tokens or a larger --max-length")  # fmt: skip
