"""The command ``pytest-triton``: its sub-commands are imported only when they are called."""

from __future__ import annotations

import importlib
import os
import signal
import sys

import click

from pytest_triton import __version__
from pytest_triton.errors import Misused, Refused, ToolError

#: Exit status for something that this machine lacks: to be retried when it is mended.
INFRASTRUCTURE = 12
#: Exit status for something handed in that is refused.
REFUSED = 11
#: Exit status of click for a wrong command line.
USAGE = 2

COMMANDS = {
    "ablate": "what each optimisation of a TorchScript model brings, accuracy beside speed",
    "bottleneck": "where a request's time goes, what limits a model, and what to change",
    "compare": "a HuggingFace model in process against itself behind Triton",
    "llama": "a Llama as logits and as a token stream, against generate()",
    "diff": "two reports: what got worse, and what only noise tells apart",
    "doctor": "what this machine has, and what it lacks",
    "explain": "what a clause asks for, and how to run it alone",
    "grade": "a submission, untrusted: intake, sandbox, score card",
    "init": "a repository to start from, for a PyTorch module or a HuggingFace directory",
    "lint": "what is wrong with a model repository, before a server starts",
    "load": "load on a model of a running server: latency, throughput, what the server counts",
    "locust": "load from workers on several machines, through Locust",
    "memory": "what models take of host and GPU memory, and whether it grows",
    "objectives": "availability, latency, TTFT and ITL over a window, by both accounts",
    "probes": "small models that let an endpoint be judged by every clause",
    "render": "report.json as an HTML page",
    "rescore": "a report graded again by another rubric and a person's marks, nothing run",
    "serve": "a real Triton in the foreground, without Docker",
    "server": "install, list and remove Triton servers",
    "submission": "what is handed in for grading: what is found, what is missing, what is refused",
    "tune": "batching, queue delay and instances of a model, searched by measurement",
}


class Commands(click.Group):
    """Sub-commands by name; each module ``pytest_triton.commands.NAME`` has ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"pytest_triton.commands.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Their one-line helps are here, so that --help imports none of them.
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pytest-triton")
def cli() -> None:
    """Boot or attach to a real Triton Inference Server and judge what it does.

    The suites themselves run with pytest:  pytest --pyargs pytest_triton.suites
    """


def main() -> None:
    """Entry point: errors of ours are one message with a remedy, exit status 12; a command that
    is told to end cleans up and has the status that a shell gives it, 130 and 143."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        status = cli(standalone_mode=False)
    except click.Abort:  # Ctrl-C; click's own status would be 1, which is a verdict
        click.echo("Aborted!", err=True)
        sys.exit(128 + signal.SIGINT)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ToolError as error:
        click.echo(f"pytest-triton: {error}", err=True)
        sys.exit(_status_of(error))
    except BrokenPipeError:  # whoever read has gone; nothing is left to be flushed to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _status_of(error: ToolError) -> int:
    if isinstance(error, Misused):
        return USAGE
    return REFUSED if isinstance(error, Refused) else INFRASTRUCTURE


def _terminated(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what cleans up is not cut off
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
