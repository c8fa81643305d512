"""The page of coverage: every clause, and what it came to on which release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from docs_tables import table

from pytest_triton.criteria import Clause
from pytest_triton.criteria.catalogue import CAPABILITIES, NEEDS, Catalogue
from pytest_triton.criteria.requires import holds
from pytest_triton.options import AREAS


def coverage_page(catalogue: Catalogue, found: Mapping[str, Any]) -> str:
    """The page of a catalogue and of what scripts/judge_releases.py has found."""
    runs: Mapping[str, Any] = found["runs"]
    known = catalogue.clauses.values()

    def result(item: Clause, release: str) -> str:
        return told(item, found["clauses"].get(item.id, {}).get(release, ""))

    def summary(release: str, run: Mapping[str, str]) -> list[str]:
        results = [result(item, release) for item in known]
        counts = [results.count(word) for word in RESULTS]
        counts.append(len(results) - sum(counts))
        return [release, run["server"], run["date"], run["suite"], *map(str, counts)]

    parts = [
        "# Coverage\n",
        f"{len(catalogue.clauses)} clauses, {sum(item.built for item in known)} of them built, "
        "and what each came to when the reference repository was judged on the embedded server, "
        "without a GPU. Clauses that are measured under load are left out: they say more about "
        "the machine than about the release. `make coverage` judges again.\n",
        table(
            ("release", "Triton", "judged on", "suite", *RESULTS, "anything else"),
            (summary(release, run) for release, run in runs.items()),
        ),
        "*Holds for* names the releases that have the behaviour. *In production* says whether the "
        "clause can be judged on an endpoint as it stands, without `--triton-allow-control` and "
        "`--triton-allow-load`, which changes nothing there and sends at most 20 requests in a "
        "second.\n",
    ]
    for area in AREAS:
        rows = [
            (
                f"[{item.id}](clauses.md#{item.id.lower()})", item.title, span(item),
                asks(item), production(item), *(result(item, release) for release in runs),
            )
            for item in known
            if item.area == area
        ]  # fmt: skip
        head = ("clause", "title", "holds for", "needs", "in production", *runs)
        parts += [f"## {area.capitalize()}\n", table(head, rows)]
    return "\n".join(parts)


#: What a clause mostly comes to; the columns of the summary.
RESULTS = ("pass", "does not apply", "measured apart", "not built", "not run")


def told(item: Clause, result: str) -> str:
    """What a clause came to on a release, in words; ``**`` in front of what is wrong."""
    status, _, code = result.partition("/")
    words = {
        "": "not run",
        "pass": "pass",
        "not_assessed/not_applicable": "does not apply",
        "not_assessed/deselected": "measured apart" if item.measured else "not run",
        "not_assessed/not_run": "not run",
        "not_assessed/not_built": "not built",
    }
    return words.get(result, f"**{status.replace('_', ' ')}**" + f" ({code})" * bool(code))


def span(item: Clause) -> str:
    """The releases that have the behaviour."""
    first, last = item.releases
    if first and last:
        return first if first == last else f"{first} to {last}"
    return f"{first} on" if first else f"up to {last}" if last else "all"


def asks(item: Clause) -> str:
    """What a clause needs of the subject and of whoever runs it."""

    def words(match: re.Match[str]) -> str:
        return CAPABILITIES.get(match[0], f"*{match[0]}*")

    requires = re.sub(r"\w+", words, item.requires)
    return "; ".join(filter(None, (*(NEEDS[name] for name in item.needs), requires)))


def production(item: Clause) -> str:
    """Whether a clause can be judged on an endpoint that is left as it was found."""
    if not item.built:
        return "not built"
    if not holds(item.requires, lambda name: name not in ("owned", "reference")):
        return "needs a server of ours"
    if not holds(item.requires, lambda name: name not in OURS):
        return "needs the repository's files"
    for need, said in (("control", "changes it"), ("load", "puts load on it")):
        if need in item.needs:
            return f"no: {said}"
    for missing, said in (
        ("probes", "if it serves the probe models"),
        ("eager", "with right answers in `--triton-inputs`"),
    ):
        if not holds(item.requires, lambda name, missing=missing: name not in {*OURS, missing}):
            return said
    return "yes"


#: Capabilities that no endpoint has.
OURS = ("owned", "reference", "repository")
