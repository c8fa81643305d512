"""A comparison as lines of text, each piece with its colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from pytest_triton.baseline import changes, numbers
from pytest_triton.baseline import statistic as st
from pytest_triton.baseline.changes import Change
from pytest_triton.baseline.compare import Comparison, told
from pytest_triton.baseline.numbers import Number

#: Pieces of one line, each with its colour ("" for none).
Line: TypeAlias = "list[tuple[str, str]]"

_COLOURS = {"worse": "red", "better": "green", numbers.CANNOT: "yellow"}
_ORDER = (
    numbers.WORSE, numbers.BETTER, numbers.INCOMPARABLE, numbers.CANNOT, numbers.CHANGED,
    numbers.SAME,
)  # fmt: skip
#: Columns of the word in front.
_WORD = 20


def lines(found: Comparison) -> Iterator[Line]:
    """All that a person needs to know; texts out of reports are not cleaned here."""
    yield [(f" old       {found.old}", "")]
    yield [(f" new       {found.new}", "")]
    yield from _settings(found)
    if found.level:
        yield from _block("level", [found.level])
    yield from _block("criteria", found.criteria)
    yield from _block("clauses", found.clauses)
    for title, entries in (
        ("clauses appeared", found.appeared),
        ("clauses vanished", found.vanished),
    ):
        if entries:
            yield []
            yield [(f" {title}: {', '.join(entry.id for entry in entries)}", "")]
    if found.aside:
        yield []
        yield [
            (f" {found.aside} clauses are not compared: one of the runs was not asked for them", "")
        ]
    yield from _numbers(found)
    yield []
    yield from _verdict(found)


def _settings(found: Comparison) -> Iterator[Line]:
    if not found.settings:
        return
    yield []
    yield [(" what they ran on and with", "")]
    for item in found.settings:
        mark = "!" if item.decides else " "
        yield [
            (
                f"  {mark} {item.name:<20}  {_short(item.old)} → {_short(item.new)}",
                "yellow" if item.decides else "",
            )
        ]
    if found.decisive:
        yield [
            (
                "    ! another class of machine or server: numbers are shown, and not judged",
                "yellow",
            )
        ]


def _short(text: str) -> str:
    return text if len(text) <= 48 else f"{text[:47]}…"


def _block(title: str, entries: Sequence[Change]) -> Iterator[Line]:
    if not entries:
        return
    yield []
    yield [(f" {title}", "")]
    order = (changes.WORSE, changes.BETTER, changes.UNJUDGED, changes.WORDING)
    for item in sorted(entries, key=lambda entry: order.index(entry.word)):
        status = item.old if item.word == changes.WORDING else f"{item.old} → {item.new}"
        yield [
            (f"  {item.word:<{_WORD}}", _COLOURS.get(item.word, "")),
            (f"{item.id:<7} {status}  {item.title}", ""),
        ]
        if item.word == changes.WORSE and item.reason.strip():
            yield [(f"  {'':<{_WORD}}{'':<7} {item.reason.strip().splitlines()[0][:300]}", "")]


def _numbers(found: Comparison) -> Iterator[Line]:
    if found.numbers or found.new_numbers or found.lost_numbers:
        yield []
        yield [(" numbers (new ÷ old, 95 % interval with the variation from run to run)", "")]
    shown = [item for item in found.numbers if item.better or item.word != numbers.SAME]
    for item in sorted(shown, key=lambda entry: _ORDER.index(entry.word)):
        yield _number(item)
    if rest := len(found.numbers) - len(shown):
        yield [(f"  {'':<{_WORD}}{rest} more are the same, and have no direction", "")]
    for word, items in (("new", found.new_numbers), ("gone", found.lost_numbers)):
        for item in items:
            of = f" ({item.model})" if item.model else ""
            yield [(f"  {word:<{_WORD}}{item.clause:<7} {item.name}{of}", "")]


def _number(item: Number) -> Line:
    of = f" ({item.model})" if item.model else ""
    way = f", {item.better} is better" if item.better else ""
    why = f" – {item.why}" if item.why else ""
    return [
        (f"  {item.word:<{_WORD}}", _COLOURS.get(item.word, "")),
        (f"{item.clause:<7} {told(item)}{of}{way}{why}", ""),
    ]


def _verdict(found: Comparison) -> Iterator[Line]:
    if found.verdict == "worse":
        yield [(f" worse: {'; '.join(found.worse)}", "red")]
    else:
        texts = {
            "better": " better; nothing is worse",
            "changed": " changed; nothing is worse",
            "no difference": " no difference",
        }
        yield [(texts[found.verdict], "green")]
    yield [
        (
            f" A number is worse when it differs by {100 * (st.RELEVANT - 1):.0f} % or more and noise "
            f"explains that in under {100 * st.ALPHA:g} % of comparisons, all numbers together.",
            "",
        )
    ]
