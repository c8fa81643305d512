"""Long work says what it is doing: on the terminal, also while pytest captures output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

#: Columns of the word that says what is being done.
LABEL = 14


def line(doing: str, what: str) -> str:
    """One line of progress, in columns."""
    return f"  {doing:<{LABEL}}{what}"


def teller(config: pytest.Config) -> Callable[[str], None]:
    """A function that writes one line of progress; silent in workers and with -qq."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    if reporter is None or hasattr(config, "workerinput") or config.get_verbosity() < -1:
        return lambda text: None

    def tell(text: str) -> None:
        def write() -> None:
            judging: Any = config.pluginmanager.getplugin("triton-judging")
            if judging is None:
                reporter.ensure_newline()
                reporter.write_line(f"triton: {text}", blue=True)
            else:
                judging.clear()
                doing, _, what = text.partition(" ")
                reporter.write_line(line(doing, what), blue=True)

        if capture is None:
            write()
        else:
            with capture.global_and_fixture_disabled():
                write()

    return tell
