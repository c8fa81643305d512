"""Scrapes of a subject one after the other: what must not change from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_triton.criteria import Inconclusive
from pytest_triton.monitor.metrics import Scrape, delta
from pytest_triton.probe.types import ProbeError
from pytest_triton.subject import Subject

#: Looks that others may spoil by loading a model anew.
TRIES = 3
_DESCRIBED = ("HELP of", "TYPE of")


def watched(subject: Subject, looks: int, between: Callable[[], object]) -> list[Scrape]:
    """Scrapes with something done before each but the first, up to the first that contradicts.

    The last two contradict each other where :func:`contradiction` says so.
    """
    seen = [subject.scrape()]
    while len(seen) < looks and not (len(seen) > 1 and contradiction(subject, *seen[-2:])):
        between()
        seen.append(subject.scrape())
    return seen


def contradiction(subject: Subject, before: Scrape, after: Scrape) -> str:
    """What cannot be true of two scrapes of one server, one after the other; "" for nothing."""
    found = delta(before, after)
    if found.reset:
        name = found.reset[0]
        return f"{name} falls from {_shown(before, name)} to {_shown(after, name)}"
    ready = {(name, version) for name, m in subject.models.items() for version in m.versions}
    for name in found.gone:
        labels = _labels(before, name)
        if not labels or (labels.get("model"), labels.get("version")) in ready:
            return f"{name} is gone"
    return _redescribed(before, after)


def _redescribed(before: Scrape, after: Scrape) -> str:
    for scrape in (before, after):
        for problem in scrape.problems:
            if any(words in problem for words in _DESCRIBED):
                return problem
        for name in scrape.series:
            family = scrape.families.get(scrape.family_of(name))
            if family is None or family.type == "untyped" or not family.help:
                return f"{name} lacks TYPE or HELP"
    for name, family in after.families.items():
        known = before.families.get(name, family)
        if known != family:
            return (
                f"{name} is a {family.type} ({family.help}), it was a {known.type} ({known.help})"
            )
    return ""


def steady(subject: Subject, looks: int, between: Callable[[], object]) -> tuple[list[Scrape], str]:
    """The scrapes, and what contradicts in the last two; "" for nothing.

    Others who load a model of an endpoint anew start its counters anew. Inconclusive when that
    happens at every try.
    """
    for _ in range(TRIES):
        seen = watched(subject, looks, between)
        text = contradiction(subject, *seen[-2:])
        if not text or subject.deployment.owned or not _loaded_anew(subject, *seen[-2:]):
            return seen, text
    raise Inconclusive(f"{text}; others load that model anew again and again")


def _loaded_anew(subject: Subject, before: Scrape, after: Scrape) -> bool:
    """Whether the statistics of each model whose counters fell began anew, too."""
    found = delta(before, after)
    models = {_labels(before, name).get("model", "") for name in (*found.reset, *found.gone)}
    return bool(models) and all(_restarted(subject, name, before) for name in models)


def _restarted(subject: Subject, model: str, before: Scrape) -> bool:
    from pytest_triton.counting import statistics

    counted = before.value("nv_inference_request_success", model=model)
    try:
        return counted is not None and statistics(subject, model)[0].success < counted
    except ProbeError:
        return True  # it is gone


def _series(scrape: Scrape) -> Iterable[tuple[str, dict[str, str], float]]:
    for name in scrape.series:
        for sample in scrape.samples(name):
            yield name, dict(sample.labels), sample.value


def _find(scrape: Scrape, shown: str) -> tuple[dict[str, str], float] | None:
    for name, labels, value in _series(scrape):
        inner = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
        if shown == (f"{name}{{{inner}}}" if inner else name):
            return labels, value
    return None


def _labels(scrape: Scrape, shown: str) -> dict[str, str]:
    found = _find(scrape, shown)
    return found[0] if found else {}


def _shown(scrape: Scrape, shown: str) -> str:
    found = _find(scrape, shown)
    return f"{found[1]:g}" if found else "nothing"
