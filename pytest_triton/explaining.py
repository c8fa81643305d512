"""The catalogue in words, for ``pytest-triton explain``."""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_triton.criteria import Catalogue, Clause, Criterion, requires
from pytest_triton.criteria.catalogue import CAPABILITIES, NEEDS, PREREQUISITES
from pytest_triton.options import AREAS, TIERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUITES = "pytest_triton.suites"
WIDTH = 100
LABEL = 14


def clause(catalogue: Catalogue, item: Clause) -> list[str]:
    """Everything that is known about one clause."""
    lines = [f"{item.id}  {item.title}", ""]
    lines += _row("MUST", item.must)
    lines += _row("source", item.source)
    lines += _row("hint", item.hint)
    lines += _row("area", item.area)
    criteria = [
        f"{name} {catalogue.criteria[name].title} ({catalogue.criteria[name].tier})"
        for name in item.criteria
    ]
    lines += _row("criteria", "; ".join(criteria) or "none: reported, and it decides no points")
    if item.requires:
        lines += _row("applies if", _in_words(item.requires))
    if item.needs:
        lines += _row("needs", "; ".join(NEEDS[name] for name in item.needs))
    if item.after:
        lines += _row("after", "; ".join(PREREQUISITES[name] for name in item.after))
    first, last = item.releases
    if first or last:
        lines += _row("releases", f"{first or 'the first'} to {last or 'the newest'}")
    else:
        lines += _row("releases", "all")
    if item.measured:
        lines += _row(
            "measured", "carries numbers with an interval; inconclusive rather than lucky"
        )
    if not item.built:
        lines += _row("built", _unbuilt(item))
    lines += _faults(item)
    lines += _alone(tests().get(item.id, []), item.built)
    return lines


def _unbuilt(item: Clause) -> str:
    """That there is no test of a clause, and what stands in its way where that is known."""
    from pytest_triton.launch.store import RELEASES

    newest, first = max(RELEASES), item.releases[0]
    told = f"{item.unbuilt}: it is reported as not assessed (not built)"
    if first <= newest:
        return told
    return (
        f"{told}; the newest release that can be installed is {newest}, so that no test of it "
        "could be seen to pass or to fail"
    )


def criterion(catalogue: Catalogue, item: Criterion) -> list[str]:
    """A criterion and its clauses."""
    lines = [f"{item.id}  {item.title}", ""]
    lines += _row("tier", item.tier)
    lines += _row("points", f"{item.points:g}")
    lines += _row("passes when", "every applicable clause passes, and at least one does")
    lines += ["", *_table((one, catalogue) for one in catalogue.of(item.id))]
    return lines


def listing(catalogue: Catalogue) -> list[str]:
    """All clauses, by area."""
    lines: list[str] = []
    for area in AREAS:
        rows = [(item, catalogue) for item in catalogue.clauses.values() if item.area == area]
        if rows:
            lines += ([""] if lines else []) + [area, *_table(rows)]
    built = sum(item.built for item in catalogue.clauses.values())
    lines += [
        "",
        f"{len(catalogue.clauses)} clauses ({built} built), {len(catalogue.criteria)} criteria; "
        "* is measured, + is not built yet",
        "explain one with  pytest-triton explain CLAUSE",
    ]
    return lines


def _table(rows: Iterable[tuple[Clause, Catalogue]]) -> list[str]:
    return [
        f"  {item.id:<8}{'+' if not item.built else '*' if item.measured else ' '} "
        f"{item.title:<52} {', '.join(item.criteria)}".rstrip()
        for item, _ in rows
    ]


def _row(label: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, WIDTH - LABEL, break_long_words=False, break_on_hyphens=False)
    return [
        f"  {label if not index else '':<{LABEL - 2}}{line}" for index, line in enumerate(wrapped)
    ]


def _in_words(expression: str) -> str:
    if expression in CAPABILITIES:
        return CAPABILITIES[expression]
    words = (f"{name}: {CAPABILITIES[name]}" for name in sorted(requires.names(expression)))
    return f"{expression} ({'; '.join(words)})"


# -- tests and faults ------------------------------------------------------------------------


def tests() -> dict[str, list[str]]:
    """Which tests of the suites judge a clause, read off their source: nothing is imported."""
    spec = find_spec(SUITES)
    found: dict[str, list[str]] = {}
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(place).glob("test_*.py")):
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.FunctionDef) and (name := _marked(node)):
                    found.setdefault(name, []).append(f"{SUITES}.{path.stem}::{node.name}")
    return found


def _marked(node: ast.FunctionDef) -> str | None:
    """The id in ``@pytest.mark.clause("ID")``."""
    for decorator in node.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Attribute)
            and decorator.func.attr == "clause"
            and decorator.args
            and isinstance(decorator.args[0], ast.Constant)
        ):
            return str(decorator.args[0].value)
    return None


def _alone(nodes: Sequence[str], built: bool) -> list[str]:
    if not nodes:
        text = "your own test that is marked with it" if built else "there is no test of it yet"
        return _row("run alone", text)
    return [
        *_row("run alone", f"pytest --pyargs {' '.join(nodes)}"),
        *_row("", "with the options that say what is judged; one clause alone is no verdict, "
                  "so that the exit status is 1 even when it passes"),
    ]  # fmt: skip


def _faults(item: Clause) -> list[str]:
    directory = Path(__file__).resolve().parent.parent / "tests" / "faults"
    files = sorted(directory.glob("*.toml"))
    if not files:
        return _row("faults", "in tests/faults of a checkout of pytest-triton")
    found = [
        f"{entry.get('name', 'fault')}: {entry.get('what', '')}"
        for path in files
        for entry in _entries(path)
        if entry.get("clause") == item.id
    ]
    if not found:
        return _row("faults", "none in tests/faults yet" if item.built else "none: it is not built")
    lines: list[str] = []
    for index, text in enumerate(found):
        lines += _row("" if index else "faults", text)
    return [*lines, *_row("", f"try them:  pytest tests/faults -k {item.id}")]


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        entries = tomllib.loads(path.read_text("utf-8")).get("fault", [])
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


# -- a catalogue of your own -----------------------------------------------------------------


def schema() -> str:
    """The keys of ``[[criterion]]`` and ``[[clause]]``, and how a plugin or conftest adds them."""

    def names(known: dict[str, str]) -> str:
        return "\n".join(f"#   {name:<17} {meaning}" for name, meaning in known.items())

    return f"""\
# team.toml: criteria and clauses of your own, beside ours. Every key, with an example.
# Hand it over in conftest.py:
#
#   def pytest_triton_catalogue(catalogue, config):
#       catalogue.add_file(pathlib.Path(__file__).with_name("team.toml"))
#
# and judge it with a test:
#
#   @pytest.mark.clause("TEAM-01")
#   def test_it(triton_client): ...

[[criterion]]
id = "T1"                       # required: a letter, then letters, digits, - or _ (at most 16)
tier = "basic"                  # required: {", ".join(TIERS)}
title = "our budget is kept"    # required
points = 10                     # required
shows = ["TEAM-01: p95 {{p95}}"]  # optional: what its line tells when the clauses passed;
                                #   a pattern of clauses, then text with measurements in braces

[[clause]]
id = "TEAM-01"                  # required: two or more capitals or digits, a hyphen, digits
area = "latency"                # required: {", ".join(AREAS)}
title = "answers within 40 ms"  # required
must = "The p95 latency of our classifier MUST be at most 40 ms."   # required: with MUST
source = "our service agreement, section 3"                         # required
hint = "Look at max_queue_delay_microseconds."                      # required
criteria = ["T1"]               # optional: criteria that it decides; none: reported only
requires = "pytorch and not gpu"    # optional: and, or, not over capabilities; false: the
                                    #   clause does not apply
needs = ["quiet", "load"]       # optional: without it the clause is not assessed
after = ["live", "pytorch"]     # optional: prerequisites; a false one blocks the clause
releases = ["24.05", ""]        # optional: first and last release that it holds for
measured = true                 # optional: it carries numbers (default false)
waits = true                    # optional: time has to pass: a queue, an unload (default false)
exclusive = true                # optional: it counts, so under pytest-xdist it runs alone (default false)
built = true                    # optional: false: there is no test of it yet (default true)

# capabilities, for requires:
{names(CAPABILITIES)}
# for needs:
{names(NEEDS)}
# for after:
{names(PREREQUISITES)}"""
