"""What one event adds to the counters of models: in the metrics, and in the statistics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_triton.counting import QUIET, SETTLE, Counts, statistics
from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.monitor.metrics import Scrape
from pytest_triton.subject import Subject

SUCCESS, INFERENCES = "nv_inference_request_success", "nv_inference_count"
EXECUTIONS, FAILURE = "nv_inference_exec_count", "nv_inference_request_failure"
HITS, MISSES = "nv_cache_num_hits_per_model", "nv_cache_num_misses_per_model"
PENDING = "nv_inference_pending_request_count"
_PLAIN = (SUCCESS, INFERENCES, EXECUTIONS, HITS, MISSES)
#: The last release whose counters were seen; what a later one counts may have been mended.
SEEN_UNTIL = "24.10"
#: Times that an event is tried on a machine that is too slow for its plan.
TRIES = 3

#: Counter (failures: with their reason) -> by how much it rose; what did not rise is left out.
Rises = Mapping[str, float]
#: Model -> its rises.
Added = Mapping[str, Rises]


def rises(
    success: int = 0, inferences: int = 0, executions: int = 0, *, hits: int = 0, misses: int = 0
) -> dict[str, float]:
    """By how much the counters without a reason rise."""
    numbers = (success, inferences, executions, hits, misses)
    return {name: float(by) for name, by in zip(_PLAIN, numbers, strict=True) if by}


def failed(subject: Subject, reason: str, count: int) -> dict[str, float]:
    """By how much failures rise, under the reason where the release tells one."""
    return {_failure(reason if subject.failures_have_reasons else None): float(count)}


def _failure(reason: str | None) -> str:
    return f'{FAILURE}{{reason="{reason}"}}' if reason else FAILURE


def mended_since(subject: Subject) -> bool:
    """Whether the release is later than all that were seen."""
    return subject.release is not None and subject.release > SEEN_UNTIL


@dataclass(frozen=True, slots=True)
class Metered:
    """Two looks at the counters of some models, and what the statistics added in between."""

    before: Scrape
    after: Scrape
    statistics: Mapping[str, Counts]

    def rose(self, model: str) -> Rises:
        """What rose, or fell, in the metrics of a model."""
        one, two = _counters(self.before, model), _counters(self.after, model)
        by = {name: two.get(name, 0.0) - one.get(name, 0.0) for name in {**one, **two}}
        return {name: rise for name, rise in by.items() if rise}

    def flaw(self, accepted: Sequence[Added]) -> str:
        """How all that is accepted differs from what was added; "" when nothing does."""
        texts = [self._differs(wanted) for wanted in accepted]
        return "" if not all(texts) else texts[0]

    def _differs(self, wanted: Added) -> str:
        for model, expected in wanted.items():
            rose = self.rose(model)
            for name in dict.fromkeys((*expected, *rose)):
                if rose.get(name, 0.0) != expected.get(name, 0.0):
                    return (
                        f"{model}: {name} rose by {rose.get(name, 0.0):g}, expected "
                        f"{expected.get(name, 0.0):g}"
                    )
            if text := self._witness(model, rose):
                return text
        return ""

    def _witness(self, model: str, rose: Rises) -> str:
        told = self.statistics[model]
        failures = sum(by for name, by in rose.items() if name.startswith(FAILURE))
        for what, metrics, statistic in (
            ("success", rose.get(SUCCESS, 0.0), told.success),
            ("failures", failures, told.failure),
            ("inferences", rose.get(INFERENCES, 0.0), told.inferences),
            ("executions", rose.get(EXECUTIONS, 0.0), told.executions),
        ):
            if metrics != statistic:
                return (
                    f"{model}: the metrics count {metrics:g} {what}, the statistics {statistic:g}"
                )
        return ""

    def to_json(self) -> dict[str, object]:
        """For the evidence."""
        return {
            model: {"metrics": dict(self.rose(model)), "statistics": str(counts)}
            for model, counts in self.statistics.items()
        }


def _counters(scrape: Scrape, model: str) -> dict[str, float]:
    found = {name: scrape.value(name, model=model) or 0.0 for name in _PLAIN}
    for sample in scrape.samples(FAILURE):
        if sample.labels.get("model") == model:
            name = _failure(sample.labels.get("reason"))
            found[name] = found.get(name, 0.0) + sample.value
    return found


def _look(subject: Subject, models: Sequence[str]) -> tuple[Scrape, dict[str, Counts]]:
    return subject.scrape(), {model: statistics(subject, model)[0] for model in models}


def _at_rest(subject: Subject, models: Sequence[str]) -> tuple[Scrape, dict[str, Counts]]:
    deadline = time.monotonic() + SETTLE
    last = _look(subject, models)
    while time.monotonic() < deadline:
        time.sleep(QUIET)
        now = _look(subject, models)
        if all(_counters(last[0], name) == _counters(now[0], name) for name in models) and (
            last[1] == now[1]
        ):
            return now
        last = now
    return last


def require(
    subject: Subject,
    evidence: Evidence,
    what: str,
    models: Sequence[str],
    act: Callable[[], Sequence[Added] | None],
    *,
    tries: int = 1,
) -> None:
    """An event adds exactly what ``act`` returns, in the metrics and in the statistics.

    ``act`` does it, and returns what is accepted, or None when its plan fell through. A count
    comes a little later than the answer: it is waited for. AssertionError says what is counted
    otherwise; an event that lives of its timing gets ``tries``. Inconclusive when the machine
    was too slow each time.
    """
    text = ""
    for _ in range(max(tries, TRIES)):
        before, counted = _at_rest(subject, models)
        accepted = act()
        if accepted is None:
            continue
        seen = _settled(subject, before, counted, models, accepted)
        text = seen.flaw(accepted)
        evidence.attach(f"{what}.json", seen.to_json())
        tries -= 1
        if not text:
            return
        evidence.attach(f"{what}.before.txt", _lines(before, models))
        evidence.attach(f"{what}.after.txt", _lines(seen.after, models))
        if tries <= 0:
            break
    if not text:
        raise Inconclusive(f"{what}: the machine is too slow for it")
    raise AssertionError(f"{what}: {text}")


def _settled(
    subject: Subject,
    before: Scrape,
    counted: Mapping[str, Counts],
    models: Sequence[str],
    accepted: Sequence[Added],
) -> Metered:
    """What was added once it is as it should be and stays so, or after ``SETTLE`` seconds."""
    deadline = time.monotonic() + SETTLE
    right = 0
    while True:
        after, told = _look(subject, models)
        seen = Metered(before, after, {name: told[name] - counted[name] for name in models})
        right = 0 if seen.flaw(accepted) else right + 1
        if right > 1 or time.monotonic() > deadline:
            return seen
        time.sleep(QUIET / 2)


def _lines(scrape: Scrape, models: Sequence[str]) -> str:
    """The lines of a page that are about some models."""
    kept = [
        line
        for line in scrape.text.splitlines()
        if any(f'model="{model}"' in line for model in models) and "duration" not in line
    ]
    return "\n".join(kept) + "\n"
