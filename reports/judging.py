"""What an armed run with -q shows while it judges: one line for each area, not a row of dots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from pytest_triton.progress import line


class Judging:
    """Counts outcomes by area; on a terminal the line of the current area is rewritten."""

    def __init__(self, reporter: Any, areas: dict[str, str], total: dict[str, int]) -> None:
        """``areas``: clause -> area; ``total``: area -> tests that are going to run."""
        self._reporter = reporter
        self._areas = areas
        self._total = total
        self._area = ""
        self._seen: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._seconds = 0.0
        # pytest's own percentages stand at the end of a row of dots.
        reporter._show_progress_info = False

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> Generator[None, tuple[str, str, Any], tuple[str, str, Any]]:
        category, letter, word = yield
        if "triton_outcome" in report.__dict__ or report.when != "call":
            return category, "", word if letter else ""
        return category, letter, word

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds += report.duration if report.when == "call" else 0
        if not (told := report.__dict__.get("triton_outcome")):
            return
        area = self._areas[told["clause"]]
        if area != self._area:
            seconds = report.duration if report.when == "call" else 0
            self._seconds -= seconds
            self.finish()
            self._area, self._seconds = area, seconds
        self._seen[told["status"]] += 1
        self._done[area] += 1
        self._show(live=True)

    def pytest_sessionfinish(self) -> None:
        self.finish()

    def finish(self) -> None:
        """The line of an area stays."""
        if self._area:
            self._show(live=False)
        self._area = ""
        self._seen.clear()

    def clear(self) -> None:
        """Make room for another line."""
        if self._reporter.isatty and self._area:
            self._reporter.rewrite("", erase=True)
            self._reporter.write("\r")

    def _show(self, *, live: bool) -> None:
        done, most = self._done[self._area], self._total.get(self._area, 0)
        counts = ", ".join(
            f"{number} {status.replace('_', ' ')}" for status, number in self._seen.items()
        )
        text = line("judging", f"{self._area:<11}{done:>3}/{most:<3} {counts}")
        if not live:
            self.clear()
            markup = {"red": True} if self._seen["fail"] or self._seen["error"] else {}
            self._reporter.write_line(f"{text:<68}{self._seconds:>6.1f} s", **markup)
        elif self._reporter.isatty:
            self._reporter.rewrite(text[: self._reporter._screen_width - 1], erase=True)


def watch(session: pytest.Session, card: Any) -> None:
    """Show an armed run in this way, where its tests run one after the other."""
    config = session.config
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    alone = getattr(config.option, "dist", "no") == "no" and not hasattr(config, "workerinput")
    if reporter is None or not alone or config.get_verbosity() != -1:
        return
    areas = {name: clause.area for name, clause in card.catalogue.clauses.items()}
    total = Counter(
        areas[marker.args[0]]
        for item in session.items
        if (marker := item.get_closest_marker("clause"))
    )
    config.pluginmanager.register(Judging(reporter, areas, total), "triton-judging")
