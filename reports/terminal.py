"""The score card at the end of an armed run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_triton import keys


def pytest_collection_finish(session: pytest.Session) -> None:
    card = session.config.stash.get(keys.SCORECARD, None)
    if card is not None and card.armed:
        from .judging import watch

        watch(session, card)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash.get(keys.REPORT, None)
    if report is None:
        return
    from .card import card, title
    from .text import clean

    terminalreporter.section(title(report), sep="─")
    for line in card(report, terminalreporter._tw.fullwidth):
        for piece, colour in line:
            terminalreporter.write(piece, **({colour: True} if colour else {}))
        terminalreporter.line("")
    directory = config.stash[keys.SETTINGS].report
    if problem := config.stash.get(keys.PAGE_PROBLEM, None):
        terminalreporter.write_line(f" {clean(problem, 400)}", red=True)
    if page := config.stash.get(keys.PAGE, None):
        terminalreporter.write_line(f" {_near(page, config)} · report.json")
    else:
        terminalreporter.write_line(f" {_near(directory / 'report.json', config)}")


def _near(path: Path, config: pytest.Config) -> str:
    """A path as somebody in the directory of the call would type it."""
    relative = os.path.relpath(path, config.invocation_params.dir)
    return str(path) if relative.startswith("..") else relative
