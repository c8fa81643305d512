"""The Prometheus configuration that was handed in, at work: its job scrapes the subject."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_triton.criteria import Missing, NotAssessed, Reason
from pytest_triton.errors import ToolError
from pytest_triton.handed_in import HandedIn
from pytest_triton.monitor.rules import Rule, read_rules
from pytest_triton.monitor.scraping import Job, Scraping, pointed_at, read_scraping
from pytest_triton.monitor.yamls import Unreadable
from pytest_triton.monitoring import promtool
from pytest_triton.monitoring.process import NoProgram
from pytest_triton.monitoring.prometheus import SCRAPE_S, Prometheus
from pytest_triton.subject import Subject

#: How rules of ours scrape where nobody handed a prometheus.yml in.
PLAIN = Job("triton", ("triton:8002",), "/metrics", 15.0, (), 0, {"job_name": "triton"})


def blocked(error: NoProgram) -> NotAssessed:
    """What a clause becomes where a program of the stack is not installed."""
    return NotAssessed(Reason.BLOCKED, f"{error.message}: {error.remedy}")


class Monitored:
    """What was handed in for monitoring; its Prometheus starts when somebody asks, once."""

    def __init__(self, subject: Subject, handed: HandedIn, directory: Path) -> None:
        self.subject, self.handed, self.directory = subject, handed, directory
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._prometheus: Prometheus | Exception | None = None
        self._rules: list[Rule] | None = None

    def close(self) -> None:
        """End what was started."""
        self._stack.close()

    @property
    def scraping(self) -> Scraping:
        """The prometheus.yml. Raises Missing, or Unreadable."""
        if self.handed.prometheus is None:
            raise Missing(f"no prometheus.yml lies in {self.handed.directory}")
        return read_scraping(self.handed.prometheus)

    @property
    def job(self) -> Job:
        """The job for Triton; a plain one where no file, or none that can be read, was handed in:
        PRM-01 says so, and rules are judged nevertheless."""
        try:
            return self.scraping.triton()
        except (Missing, Unreadable):
            return PLAIN

    def rules(self) -> list[Rule]:
        """All rules. Raises Missing where there is no file of rules, or Unreadable."""
        if not self.handed.rules:
            raise Missing(f"no file of alert rules lies in {self.handed.directory}")
        if self._rules is None:
            self._rules = [rule for path in self.handed.rules for rule in read_rules(path)]
        return self._rules

    def rule_files(self) -> Sequence[Path]:
        """Copies of the files of rules that promtool accepts, under names that cannot clash."""
        made = []
        for number, path in enumerate(self.handed.rules):
            copy = self.directory / "rules" / f"{number:03}.yml"
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists():
                shutil.copyfile(path, copy)
            try:
                if not promtool.check_rules(copy):
                    made.append(copy)
            except promtool.TooSlow:  # not accepted: ALR-01 says so
                continue
            except NoProgram as error:
                raise blocked(error) from None
        return made

    def prometheus(self) -> Prometheus:
        """Scrapes the subject by the job that was handed in, and evaluates its rules.

        Raises NotAssessed where it cannot run here, or what kept it from starting.
        """
        with self._lock:
            found = self._prometheus
            if found is None:
                try:
                    found = self._start()
                except Exception as error:  # not tried again by the next clause
                    found = error
                self._prometheus = found
            if isinstance(found, Exception):
                raise found
            return found

    def brought(self) -> Prometheus:
        """As :meth:`prometheus`, once metrics of Triton have come; NotAssessed where none come."""
        found = self.prometheus()
        if self.drops_every_target(found):
            raise NotAssessed(Reason.BLOCKED, f"job {self.job.name} has no target: see PRM-01")
        if not any(name.startswith("nv_") for name in found.names()):
            raise NotAssessed(
                Reason.BLOCKED, f"job {self.job.name} brings no metrics of Triton: see PRM-01"
            )
        return found

    def drops_every_target(self, prometheus: Prometheus) -> bool:
        """Whether the job's relabelling leaves nothing to scrape; waits for scrapes otherwise."""
        try:
            prometheus.scraped(time.time(), times=2)
        except ToolError:
            if prometheus.targets():
                raise
            return True
        return False

    def another(self, name: str, rules: Sequence[Path]) -> Prometheus:
        """One more that scrapes the subject, with other rules; not started. Raises NotAssessed."""
        return Prometheus(self.directory / name, [self._pointed()], rules=rules)

    def _start(self) -> Prometheus:
        made = self.another("prometheus", self.rule_files())
        try:
            self._stack.enter_context(made)
        except NoProgram as error:
            raise blocked(error) from None
        except ToolError as error:
            given = self.handed.prometheus
            if given is not None and promtool.check_config(given):
                raise NotAssessed(
                    Reason.BLOCKED, f"Prometheus refuses job {self.job.name}: see PRM-01"
                ) from error
            raise
        return made

    def _pointed(self) -> dict[str, Any]:
        deployment, settings = self.subject.deployment, self.subject.settings
        assert deployment.metrics_url is not None
        url = deployment.metrics_url
        parts = urlsplit(url)
        if parts.path in ("", "/"):
            url = f"{parts.scheme}://{parts.netloc}/metrics"
        made = pointed_at(self.job, url, interval=f"{round(SCRAPE_S * 1000)}ms")
        if parts.scheme == "https":
            files = {"ca_file": settings.tls_ca, "cert_file": settings.tls_cert,
                     "key_file": settings.tls_key}  # fmt: skip
            made["tls_config"] = {name: str(path) for name, path in files.items() if path}
        for name, value in deployment.headers:
            if name.lower() != "authorization":
                raise NotAssessed(Reason.BLOCKED, f"Prometheus cannot send the header {name}")
            kind, _, secret = value.partition(" ")
            made["authorization"] = {"type": kind, "credentials": secret}
        return made
