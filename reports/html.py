"""pytest-html's page: our blocks on top, columns for clause and criteria.

The page belongs to an armed run alone, and whether a run is armed is known only after the
collection, under pytest-xdist only at its end. So unless the user has chosen ``--html``,
pytest-html is given the finished run at the end. Nothing here runs in an unarmed run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pytest

from pytest_triton import keys

#: pytest-html's data of the page that the user asked for, or that is being written.
DATA = pytest.StashKey[Any]()
_TEST_ID = re.compile(r'<td class="col-testId">(.*)</td>\Z', re.DOTALL)


@pytest.hookimpl(optionalhook=True)
def pytest_html_report_title(report: Any) -> None:
    report.config.stash[DATA] = report


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    config = session.config
    found = config.stash.get(keys.REPORT, None)
    if found is None:
        return
    from .render import base_url, blocks

    directory = config.stash[keys.SETTINGS].report
    page = Path(config.getoption("htmlpath")).expanduser().resolve()
    prefix.insert(0, blocks(found, directory, base=base_url(page.parent, directory.resolve())))
    if (data := config.stash.get(DATA, None)) is not None:
        _columns(data, found)
        if data.title == page.name:
            data.title = "pytest-triton"


def _columns(data: Any, report: Mapping[str, Any]) -> None:
    """Add clause and criteria to pytest-html's table of tests, after the result."""
    clauses: dict[str, list[Mapping[str, Any]]] = {}
    for clause in report["clauses"]:
        for nodeid in clause["nodeids"]:
            clauses.setdefault(nodeid, []).append(clause)
    data.table_header = [
        *data.table_header[:1],
        '<th class="sortable" data-column-type="clause">Clause</th>',
        '<th class="sortable" data-column-type="criteria">Criteria</th>',
        *data.table_header[1:],
    ]
    for nodeid, tests in data.data["tests"].items():
        judged = clauses.get(nodeid, [])
        names = ", ".join(clause["id"] for clause in judged)
        of = ", ".join(dict.fromkeys(name for clause in judged for name in clause["criteria"]))
        link = escape(names)
        if len(judged) == 1:
            link = f'<a href="#tr-{link}">{link}</a>'
        for test in tests:
            test |= {"clause": names, "criteria": of}
            cells = [_escaped(cell, nodeid) for cell in test["resultsTableRow"]]
            cells[1:1] = [
                f'<td class="col-clause">{link}</td>',
                f'<td class="col-criteria">{escape(of)}</td>',
            ]
            test["resultsTableRow"] = cells


def _escaped(cell: str, nodeid: str) -> str:
    """pytest-html does not escape a test's name, which may hold a model's name."""
    match = _TEST_ID.match(cell)
    if match is None or not match[1].startswith(nodeid):
        return cell
    return f'<td class="col-testId">{escape(match[1])}</td>'


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the fold, which is tryfirst: write report.html beside report.json."""
    config = session.config
    found = config.stash.get(keys.REPORT, None)
    # The page that the user asked for is written by pytest-html itself.
    if found is None or config.getoption("htmlpath", None):
        return
    target = config.stash[keys.SETTINGS].report / "report.html"
    try:
        if config.pluginmanager.hasplugin("html"):
            _write(session, found, target)
        else:
            from .render import page

            target.write_text(page(found, target.parent), encoding="utf-8")
    except Exception as error:
        # The verdict stands without its page.
        config.stash[keys.PAGE_PROBLEM] = (
            f"report.html could not be written ({type(error).__name__}: {error}): "
            f"pytest-triton render {target.parent}  draws it out of report.json"
        )
    else:
        config.stash[keys.PAGE] = target


def _write(session: pytest.Session, report: Mapping[str, Any], target: Path) -> None:
    """Let pytest-html make its page of the run that has just ended."""
    from pytest_html.basereport import BaseReport

    config = session.config
    manager = config.pluginmanager
    module: Any = manager.get_plugin("html")
    config.option.htmlpath = str(target)
    config.option.self_contained_html = True
    module.pytest_configure(config)
    page = next(plugin for plugin in manager.get_plugins() if isinstance(plugin, BaseReport))
    # It has no part in the hooks of this session any more, and nothing to say at its end.
    manager.unregister(page)
    page._suite_start_time = time.time() - report["run"]["timings"]["total_s"]
    page.pytest_sessionstart(session)
    if config.getini("render_collapsed") == "passed" and DATA in config.stash:
        # A hundred skips with their reasons open would hide the failure.
        config.stash[DATA].set_data("renderCollapsed", ["passed", "skipped", "xfailed"])
    page.pytest_collection_finish(session)
    for told in _reports(config):
        if isinstance(told, pytest.CollectReport):
            page.pytest_collectreport(told)
        else:
            page.pytest_runtest_logreport(told)
    page.pytest_sessionfinish(session)


def _reports(config: pytest.Config) -> list[Any]:
    """What pytest has told in this run: test by test, and setup, call, teardown in order.

    The terminal reporter keeps them all, in the controller of pytest-xdist too.
    """
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    stats: dict[str, list[Any]] = reporter.stats if reporter is not None else {}
    phases = {"collect": 0, "setup": 1, "call": 2, "teardown": 3}
    told = {
        id(report): report
        for reports in stats.values()
        for report in reports
        if isinstance(report, (pytest.TestReport, pytest.CollectReport))
    }
    order: dict[str, int] = {}
    started = sorted(told.values(), key=lambda report: getattr(report, "start", 0.0))
    for report in started:
        order.setdefault(report.nodeid, len(order))
    return sorted(
        started,
        key=lambda report: (order[report.nodeid], phases.get(getattr(report, "when", ""), 2)),
    )
