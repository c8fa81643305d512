"""The hooks of one pytest run: arming, judging each test, and the fold at its end."""

from __future__ import annotations

import copy
import datetime as dt
import os
import time
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_triton import keys
from pytest_triton.errors import ToolError
from pytest_triton.items import clause_id, is_suite, show_not_assessed, status_of
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    from pytest_triton.baseline.loaded import Loaded
    from pytest_triton.criteria.outcome import Outcome
    from pytest_triton.evidence import Evidence
    from pytest_triton.grade.scorecard import Scorecard

SUITES = "pytest_triton.suites"
#: Characters of a reason that go into the report; the whole text is in the test's own output.
MAX_REASON = 4000


def now() -> str:
    """The time as in report.json: UTC, ISO 8601."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")


class Run:
    """One run, in the controller, in a worker of pytest-xdist, or in the only process.

    Costs an unrelated run a marker look-up for each test; the catalogue is read when the
    first test with a clause is collected.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.is_worker = hasattr(config, "workerinput")
        told: dict[str, Any] = getattr(config, "workerinput", {})
        if shared := told.get("triton_shared"):
            os.environ["PYTEST_TRITON_RUN_DIRECTORY"] = shared["directory"]
        self.started = now()
        self._clock = time.monotonic()
        self._notes: list[str] = []
        self._armed = False
        self._refused = ""
        self._baseline: Loaded | None = None

    # -- arming --------------------------------------------------------------------------

    @property
    def card(self) -> Scorecard:
        """The score card; made when first asked for."""
        if keys.SCORECARD not in self.config.stash:
            self.config.stash[keys.SCORECARD] = self._make_card()
        return self.config.stash[keys.SCORECARD]

    def _make_card(self) -> Scorecard:
        from pytest_triton.criteria import load
        from pytest_triton.criteria.waivers import read
        from pytest_triton.grade.scorecard import Scorecard

        try:
            catalogue = load()
            self.config.hook.pytest_triton_catalogue(catalogue=catalogue, config=self.config)
            catalogue.check()
            waivers = (
                read(self.settings.waivers, catalogue.clauses, dt.date.today())
                if self.settings.waivers
                else {}
            )
        except ToolError as error:
            raise pytest.UsageError(str(error)) from None
        return Scorecard(self.settings, catalogue, waivers)

    @property
    def listing_only(self) -> bool:
        """--collect-only, --fixtures, --markers, --help: nothing is judged."""
        option = self.config.option
        return any(
            getattr(option, name, False)
            for name in ("collectonly", "showfixtures", "show_fixtures_per_test", "markers", "help")
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        try:
            self._collect(items)
        except pytest.UsageError as error:
            self._refused = str(error)  # a worker's own message reaches nobody
            raise

    def _collect(self, items: list[pytest.Item]) -> None:
        for item in items:
            if (name := clause_id(item)) is None:
                continue
            if name not in self.card.catalogue.clauses:
                raise pytest.UsageError(
                    f"{item.nodeid}: there is no clause {name!r} "
                    "(see  pytest-triton explain --list, or the hook pytest_triton_catalogue)"
                )
            self.card.collected.add(name)
            if not self._armed and not self.listing_only and is_suite(item):
                self._arm()
        if self._armed and self.settings.scope:
            self._keep_scope(items)
        if self._armed:
            self._order(items)

    def _order(self, items: list[pytest.Item]) -> None:
        """Our tests in the catalogue's order, what is measured under load last."""
        clauses = self.card.catalogue.clauses
        rank = {name: index for index, name in enumerate(clauses)}

        def key(item: pytest.Item) -> tuple[bool, int]:
            name = clause_id(item) or ""
            return clauses[name].measured, rank[name]

        places = [index for index, item in enumerate(items) if clause_id(item) and is_suite(item)]
        ordered = sorted((items[index] for index in places), key=key)
        for index, item in zip(places, ordered, strict=True):
            items[index] = item

    def _keep_scope(self, items: list[pytest.Item]) -> None:
        """Take the tests of clauses outside --triton-scope out of the run."""
        clauses = self.card.catalogue.clauses

        def outside(item: pytest.Item) -> bool:
            name = clause_id(item)
            return name is not None and not self.card.in_scope(clauses[name])

        left_out = [item for item in items if outside(item)]
        items[:] = [item for item in items if not outside(item)]
        if left_out:
            self.config.hook.pytest_deselected(items=left_out)

    def _arm(self) -> None:
        self._read_baseline()  # refused, nothing is written over: it may lie where the report goes
        self._armed = self.card.armed = True
        if getattr(self.config.option, "reruns", None):
            raise pytest.UsageError(
                "--reruns would turn a flaky failure into a pass: a verdict cannot be rerun"
            )
        if self.settings.profile == "certificate":
            raise pytest.UsageError("--triton-profile certificate is not built yet")

    def _read_baseline(self) -> None:
        """Before anything boots, and before the last report, which may be it, is dropped."""
        if self.settings.baseline is None or self._baseline is not None:
            return
        from pytest_triton.baseline.held import read

        try:
            self._baseline = read(self.settings.baseline)
        except ToolError as error:
            raise pytest.UsageError(f"--triton-baseline: {error}") from None

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        if self._armed:
            self.card.deselected.update(name for item in items if (name := clause_id(item)))

    def pytest_collection_finish(self) -> None:
        if not self._armed or self.is_worker:
            return
        from pytest_triton.grade.write import claim
        from pytest_triton.launch import require

        try:
            self.config.add_cleanup(partial(os.close, claim(self.settings.report)))
        except ToolError as error:
            self._armed = self.card.armed = False  # or the end would want to write there
            raise pytest.UsageError(str(error)) from None
        try:
            require(self.settings)
        except ToolError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_report_header(self) -> list[str]:
        from pytest_triton import __version__

        said = [
            f"{field}={value}"
            for field, value in self.settings.redacted().items()
            if field
            in ("url", "repository", "launcher", "server_release", "device", "tier", "scope")
            and value
        ]
        return [
            f"triton: pytest-triton {__version__}, seed {self.settings.seed}, {', '.join(said)}"
        ]

    # -- judging -------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        evidence: Evidence | None = item.stash.get(keys.EVIDENCE, None)
        if evidence is None:
            return (yield)
        with evidence.assessed():
            result = yield
            evidence.close()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            if evidence := item.stash.get(keys.EVIDENCE, None):
                evidence.transcript = None  # megabytes that nobody reads any more

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.excinfo is None:
            report = yield
        else:
            from pytest_triton import wording

            wording.hide_our_frames(call, self.config)
            report = yield
            wording.name_error(item, call, report)
        name = clause_id(item)
        if name is None:
            show_not_assessed(item, call, report, self.settings.inconclusive)
            return report
        if call.excinfo is None and call.when != "call":
            return report
        outcome = self._outcome(item, call, report, name)
        # no verdict counts what an unarmed run cannot tell
        doubt = "skip" if self._armed else self.settings.inconclusive
        show_not_assessed(item, call, report, doubt)
        self._excuse(outcome, report)
        report.__dict__["triton_outcome"] = outcome.to_json()
        return report

    def _outcome(
        self,
        item: pytest.Item,
        call: pytest.CallInfo[None],
        report: pytest.TestReport,
        name: str,
    ) -> Outcome:
        from pytest_triton.criteria.outcome import Outcome

        status, code, reason = status_of(call)
        outcome = Outcome(name, report.nodeid, status, code, reason[:MAX_REASON], call.duration)
        if evidence := item.stash.get(keys.EVIDENCE, None):
            self._keep_transcript(item, outcome, evidence)
            outcome.model = evidence.model
            outcome.measurements = evidence.measurements
            outcome.evidence = evidence.files
            outcome.locations = evidence.locations
        return outcome

    def _keep_transcript(self, item: pytest.Item, outcome: Outcome, evidence: Evidence) -> None:
        """What was asked and answered, of a clause that failed (or of every one)."""
        wanted = outcome.status.value in ("fail", "error") or self.settings.transcript == "all"
        if evidence.transcript is None or not wanted:
            return
        # Tests of one clause, which are the same in every worker, have a file each.
        of = [other.nodeid for other in item.session.items if clause_id(other) == outcome.clause]
        at = of.index(item.nodeid) if item.nodeid in of else 0
        try:
            evidence.keep_transcript(f"transcript-{at + 1}" if at else "transcript")
        except Exception as error:  # the verdict stands without it
            self._notes.append(
                f"{outcome.clause}: no transcript could be kept: {type(error).__name__}: {error}"
            )

    def _excuse(self, outcome: Outcome, report: pytest.TestReport) -> None:
        """A failure that does not decide is an xfail for pytest; in our report it is a fail."""
        from pytest_triton.criteria import Status
        from pytest_triton.criteria.fold import above

        if not self._armed or outcome.status is not Status.FAIL:
            return
        clause = self.card.catalogue.clauses[outcome.clause]
        why = None
        if outcome.clause in self.card.waivers:
            why = f"fails; waived until {self.card.waivers[outcome.clause].until}"
        elif above(clause, self.card.catalogue, self.settings.tier):
            why = f"fails; above tier {self.settings.tier}"
        if why:
            report.outcome = "skipped"
            report.wasxfail = why

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = report.__dict__.get("triton_outcome")
        if data is not None and not self.is_worker:
            from pytest_triton.criteria.outcome import Outcome

            self.card.add(Outcome.from_json(data))

    # -- pytest-xdist --------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        from pytest_triton.launch.shared import Controller

        if not hasattr(self, "_controller"):
            self._controller = Controller()
            self.config.add_cleanup(self._controller.close)
        self._read_baseline()
        node.workerinput["triton_seed"] = self.settings.seed
        node.workerinput["triton_shared"] = self._controller.to_json()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = (getattr(node, "workeroutput", None) or {}).get("triton")
        if told and told["refused"]:
            pytest.exit(told["refused"], returncode=int(pytest.ExitCode.USAGE_ERROR))
        if not told or not told["armed"]:
            return
        self._armed = self.card.armed = True
        self.card.collected.update(told["collected"])
        self.card.deselected.update(told["deselected"])
        self.card.subject = self.card.subject or told["subject"]

    # -- the end -------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.is_worker:
            self.config.workeroutput["triton"] = {  # type: ignore[attr-defined]
                "armed": self._armed,
                "refused": self._refused,
                "collected": sorted(self.card.collected) if self._armed else [],
                "deselected": sorted(self.card.deselected) if self._armed else [],
                "subject": self.config.stash.get(keys.SUBJECT, {}),
            }
            return
        if not self._armed:
            return
        stopped = bool(session.shouldstop or session.shouldfail)
        report = self._report(complete=int(exitstatus) in (0, 1, 5) and not stopped)
        self.config.stash[keys.REPORT] = report
        if int(exitstatus) == 0:
            session.exitstatus = report["verdict"]["exit_status"]
        else:
            # pytest may have seen a failure that the fold does not know: never lowered.
            report["verdict"]["exit_status"] = int(exitstatus)
            if not report["verdict"]["reasons"]:
                report["verdict"]["reasons"].append(f"pytest ended with {int(exitstatus)}")
        from pytest_triton.grade.write import write

        write(report, self.settings.report)

    def _report(self, *, complete: bool) -> dict[str, Any]:
        from pytest_triton.grade.record import build

        self.card.subject = self.card.subject or self.config.stash.get(keys.SUBJECT, {})
        complete = complete and not self.card.holes()
        report = build(
            self.card,
            command=["pytest", *map(str, self.config.invocation_params.args)],
            started=self.started,
            finished=now(),
            complete=complete,
            timings={
                "total_s": round(time.monotonic() - self._clock, 3),
                **self.card.subject.get("timings", {}),
            },
            notes=self._notes,
        )
        if self._baseline is not None:
            from pytest_triton.baseline.held import hold

            hold(report, self.settings.report, self._baseline)
        return self._amended(report)

    def _amended(self, report: dict[str, Any]) -> dict[str, Any]:
        """What hooks add to the report; what was decided stays."""
        amended = copy.deepcopy(report)
        try:
            self.config.hook.pytest_triton_update_report(report=amended, config=self.config)
        except Exception as error:
            text = f"hook pytest_triton_update_report: {type(error).__name__}: {error}"
            report["notes"].append(text)
            report["verdict"]["reasons"].append(text)
            report["verdict"]["exit_status"] = 1
            return report
        decided = ("schema_version", "complete", "verdict", "criteria", "clauses", "baseline")
        return amended | {key: report[key] for key in decided if key in report}
