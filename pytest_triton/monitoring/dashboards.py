"""The dashboards that were handed in, beside what was watched while each of their queries ran."""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pytest_triton.criteria import Missing, NotAssessed, Reason
from pytest_triton.measuring import heaviest_of
from pytest_triton.monitor.dashboard import Dashboard, read_dashboard
from pytest_triton.monitor.promql import Unparsable, parse
from pytest_triton.monitor.templating import builtins, shortened
from pytest_triton.monitor.yamls import Unreadable
from pytest_triton.monitoring.absence import TRITON, Known
from pytest_triton.monitoring.queries import Answer, answers
from pytest_triton.monitoring.rig import Monitored
from pytest_triton.monitoring.watching import WINDOW_S, Watched, watch
from pytest_triton.subject import Subject

#: Seconds that people look at.
USUAL_S = 3600.0


class Dashboards:
    """Read once, watched once: the clauses look at the same half minute."""

    def __init__(self, subject: Subject, monitored: Monitored, directory: Path) -> None:
        self.subject, self.monitored, self.directory = subject, monitored, directory
        self._stack = ExitStack()
        self._read: list[Dashboard | Unreadable] | None = None
        self._watched: Watched | Exception | None = None
        self._answers: dict[Path, list[Answer]] = {}

    def close(self) -> None:
        """End what was started."""
        self._stack.close()

    def read(self) -> list[Dashboard | Unreadable]:
        """Every dashboard, or why it cannot be read. Raises Missing where there is none."""
        handed = self.monitored.handed
        if not handed.dashboards:
            raise Missing(
                f"no dashboard lies in {handed.directory}: put its JSON below dashboards/"
            )
        if self._read is None:
            self._read = []
            for path in handed.dashboards:
                try:
                    self._read.append(read_dashboard(path))
                except Unreadable as error:
                    self._read.append(error)
        return self._read

    def readable(self) -> list[Dashboard]:
        """All of them. Raises NotAssessed where one cannot be read, which DSH-01 says."""
        found = self.read()
        for each in found:
            if isinstance(each, Unreadable):
                raise NotAssessed(Reason.BLOCKED, f"{each} (DSH-01)")
        return [each for each in found if isinstance(each, Dashboard)]

    @property
    def known(self) -> Known:
        """What the queries may count on."""
        handed, job = self.monitored.handed, self.monitored.job
        # labels that a discovery gives, or a configuration that nobody handed in
        elsewhere = handed.prometheus is None or bool(job.discovery)
        live, usual = (
            {name: (value,) for name, value in builtins(seconds, job.interval_s).items()}
            for seconds in (WINDOW_S, USUAL_S)
        )
        return Known(self._recorded(), ("instance",), TRITON if elsewhere else (), live, usual)

    def _recorded(self) -> dict[str, Any]:
        """Recording rules as trees; what is wrong with them ALR-01 says."""
        made: dict[str, Any] = {}
        with suppress(Unreadable, Missing):
            for rule in self.monitored.rules():
                if not rule.alert:
                    with suppress(Unparsable):
                        made[rule.name] = parse(shortened(rule.expr, WINDOW_S))
        return made

    def watched(self) -> Watched:
        """Load on a model that the dashboards name, else on the heaviest; once."""
        if self._watched is None:
            try:
                self._watched = watch(self.subject, self.monitored, self._model(),
                                      self.directory, self._stack)  # fmt: skip
            except Exception as error:  # not tried again by the next clause
                self._watched = error
        if isinstance(self._watched, Exception):
            raise self._watched
        return self._watched

    def _model(self) -> str:
        names = heaviest_of(self.subject, self.subject.pytorch)
        texts = [target.expr for each in self.read() if isinstance(each, Dashboard)
                 for _, target in each.targets]  # fmt: skip
        named = [name for name in names
                 if any(re.search(rf'model=~?"{re.escape(name)}"', text) for text in texts)]  # fmt: skip
        return (named or names)[0]

    def answers(self, dashboard: Dashboard) -> list[Answer]:
        """Every query of a dashboard, asked once."""
        if dashboard.path not in self._answers:
            self._answers[dashboard.path] = answers(
                dashboard, self.watched(), self.known, self.monitored.job.interval_s
            )
        return self._answers[dashboard.path]
