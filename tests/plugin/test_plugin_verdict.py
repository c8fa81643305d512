"""From what tests do to statuses, the verdict and the exit status."""

from __future__ import annotations

import datetime as dt

import pytest

from pytest_triton.criteria import load

TOMORROW = dt.date.today() + dt.timedelta(days=1)
YESTERDAY = dt.date.today() - dt.timedelta(days=1)

# A clause of basic criteria, one of an advanced criterion only, and one of no criterion.
BASIC, ADVANCED, FREE = "HLT-05", "MTR-08", next(
    clause.id for clause in load().clauses.values() if clause.built and not clause.criteria
)  # fmt: skip


def test_everything_passes(project) -> None:
    project.suite()
    result = project.run("suite")
    assert result.status == 0
    assert (result.verdict["level"], result.verdict["points"]) == ("expert", 100)
    assert result.verdict["reasons"] == []
    assert {result.criterion(name) for name in load().criteria} == {"pass"}


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("fail", "fail", None),
        ("fault", "fail", None),
        ("setup:fault", "fail", None),
        ("error", "error", None),
        ("setup:error", "error", None),
        ("setup:fail", "error", None),
        ("teardown:error", "error", None),
        ("teardown:fail", "error", None),
        ("skip", "not_assessed", "skipped"),
        ("xfail", "fail", None),
        ("blocked", "not_assessed", "blocked"),
        ("setup:blocked", "not_assessed", "blocked"),
        ("inconclusive", "inconclusive", None),
        ("missing", "missing", None),
        ("manual", "manual", None),
    ],
)
def test_what_a_test_does_is_what_its_clause_says(
    project, what: str, status: str, code: str | None
) -> None:
    project.suite({BASIC: what})
    result = project.run("suite")
    assert (result.clause(BASIC)["status"], result.clause(BASIC)["reason_code"]) == (status, code)
    for name in result.clause(BASIC)["criteria"]:
        assert result.criterion(name) == status
    assert result.status == 1
    assert result.report["complete"]
    assert any(BASIC in reason for reason in result.verdict["reasons"]) or code or status not in (
        "fail", "error"
    )  # fmt: skip


def test_what_does_not_apply_is_no_hole(project) -> None:
    project.suite({BASIC: "inapplicable"})
    result = project.run("suite")
    assert result.status == 0
    assert result.clause(BASIC)["reason_code"] == "not_applicable"


def test_a_criterion_of_which_nothing_applies_does_not_pass(project) -> None:
    project.suite({clause.id: "inapplicable" for clause in load().of("B4")})
    result = project.run("suite")
    assert result.status == 1
    assert result.criterion("B4") == "not_assessed"


def test_a_clause_of_no_criterion_decides_too(project) -> None:
    project.suite({FREE: "fail"})
    result = project.run("suite")
    assert result.status == 1
    assert f"{FREE} fail" in result.verdict["reasons"]


def test_above_the_tier_it_fails_in_the_report_only(project) -> None:
    project.suite({ADVANCED: "fail"})
    result = project.run("suite")
    assert result.status == 0
    assert result.outcomes["xfailed"] == 1
    assert "failed" not in result.outcomes
    assert result.clause(ADVANCED)["status"] == "fail"
    assert result.criterion("A2") == "fail"
    assert result.verdict["level"] == "basic"
    shown = project.run("suite", "-rx")
    assert "fails; above tier basic" in shown.output


def test_an_error_above_the_tier_is_an_error(project) -> None:
    project.suite({ADVANCED: "error"})
    result = project.run("suite")
    assert result.status == 1
    assert result.clause(ADVANCED)["status"] == "error"


@pytest.mark.parametrize("tier", ["advanced", "expert"])
def test_the_asked_tier_has_to_be_reached(project, tier: str) -> None:
    project.suite({"TRB-01": "missing", "DSH-01": "fail"})
    result = project.run("suite", "--triton-tier", tier)
    assert result.status == 1
    assert "A4 missing" in result.verdict["reasons"]
    assert ("E4 fail" in result.verdict["reasons"]) == (tier == "expert")
    project.suite({ADVANCED: "fail"})
    failed = project.run("suite", "--triton-tier", tier)
    assert failed.outcomes["failed"] == 1
    assert "xfailed" not in failed.outcomes


def test_deselected_above_the_tier_is_incomplete_too(project) -> None:
    project.suite()
    result = project.run("suite", "-k", f"not {ADVANCED}")
    assert result.status == 1
    assert not result.report["complete"]


class TestScope:
    def test_limits_the_verdict_to_areas(self, project) -> None:
        project.suite({"INF-01": "fail"})
        result = project.run("suite", "--triton-scope", "setup,metrics")
        assert result.status == 0
        assert result.verdict["level"] == "none"
        assert result.report["complete"]
        assert result.report["run"]["scope"] == ["setup", "metrics"]
        assert result.clause("INF-01")["reason_code"] == "deselected"
        assert "failed" not in result.outcomes

    def test_a_file_that_has_the_whole_scope_is_complete(self, project) -> None:
        project.suite()
        assert project.run("suite/test_setup.py", "--triton-scope", "setup").status == 0
        assert project.run("suite/test_metrics.py", "--triton-scope", "setup").status != 0

    def test_a_failure_inside_counts(self, project) -> None:
        project.suite({BASIC: "fail"})
        assert project.run("suite", "--triton-scope", "setup").status == 1

    def test_a_hole_inside_counts(self, project) -> None:
        project.suite({BASIC: "blocked"})
        assert project.run("suite", "--triton-scope", "setup").status == 1

    def test_deselection_inside_leaves_it_incomplete(self, project) -> None:
        project.suite()
        result = project.run("suite", "--triton-scope", "setup", "-k", "not SET-01")
        assert result.status == 1
        assert not result.report["complete"]

    def test_an_area_in_which_nothing_passes_is_no_pass(self, project) -> None:
        built = [c.id for c in load().clauses.values() if c.area == "operations" and c.built]
        project.suite(dict.fromkeys(built, "missing"))
        assert project.run("suite", "--triton-scope", "operations").status != 0

    def test_an_unknown_area(self, project) -> None:
        project.suite()
        result = project.run("suite", "--triton-scope", "speed")
        assert result.status == 4
        assert "'speed' is no area" in result.output
        assert result.report is None


def waiver(project, text: str = "", **fields: object) -> str:
    given = {"id": BASIC, "reason": "known", "until": TOMORROW, **fields}
    lines = [
        f"{key} = {value if isinstance(value, dt.date) else chr(34) + str(value) + chr(34)}"
        for key, value in given.items()
        if value is not None
    ]
    path = project.write("waivers.toml", "[[waiver]]\n" + "\n".join(lines) + "\n" + text)
    return f"--triton-waivers={path}"


class TestWaivers:
    def test_a_waived_failure(self, project) -> None:
        project.suite({BASIC: "fail"})
        result = project.run("suite", waiver(project))
        assert result.status == 0
        assert result.outcomes["xfailed"] == 1
        assert result.clause(BASIC)["status"] == "waived"
        assert "known" in result.clause(BASIC)["reason"]
        assert result.verdict["waivers"] == 1
        assert "B4" in result.clause(BASIC)["criteria"] or result.clause(BASIC)["criteria"]

    def test_a_waived_clause_that_passes_is_an_error(self, project) -> None:
        project.suite()
        result = project.run("suite", waiver(project))
        assert result.status == 1
        assert result.clause(BASIC)["status"] == "error"
        assert "remove the waiver" in result.clause(BASIC)["reason"]

    def test_an_error_cannot_be_waived(self, project) -> None:
        project.suite({BASIC: "error"})
        result = project.run("suite", waiver(project))
        assert result.status == 1
        assert result.clause(BASIC)["status"] == "error"

    def test_a_hole_cannot_be_waived(self, project) -> None:
        project.suite({BASIC: "blocked"})
        assert project.run("suite", waiver(project)).status == 1

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"id": "HLT-99"}, "unknown clause 'HLT-99'"),
            ({"reason": None}, "has no reason"),
            ({"reason": "  "}, "has no reason"),
            ({"until": None}, "has no date"),
            ({"until": "soon"}, "has no date"),
            ({"until": YESTERDAY}, f"expired on {YESTERDAY}"),
            ({"because": "x"}, "unknown keys because"),
        ],
    )
    def test_a_wrong_waiver_is_refused(self, project, fields: dict, text: str) -> None:
        project.suite({BASIC: "fail"})
        result = project.run("suite", waiver(project, **fields))
        assert result.status == 4
        assert text in result.output

    def test_broken_files_are_refused(self, project) -> None:
        project.suite()
        assert "two waivers" in project.run(
            "suite", waiver(project, f'[[waiver]]\nid="{BASIC}"\nreason="x"\nuntil={TOMORROW}\n')
        ).output  # fmt: skip
        assert project.run("suite", waiver(project, "[other]\n")).status == 4
        project.write("waivers.toml", "[[waiver")
        assert project.run("suite", "--triton-waivers", "waivers.toml").status == 4
        assert project.run("suite", "--triton-waivers", "nowhere.toml").status == 4


class TestEndpoint:
    """What may be done to a server in use, wherever its URL was said."""

    OVERRIDE = """
import dataclasses
@pytest.fixture(scope="session")
def triton_settings(triton_settings):
    return dataclasses.replace(triton_settings, url="http://127.0.0.1:9")
"""

    @pytest.mark.parametrize("where", ["option", "environment", "fixture"])
    def test_no_load_without_permission(self, project, monkeypatch, where: str) -> None:
        project.suite(conftest=self.OVERRIDE if where == "fixture" else "")
        if where == "environment":
            monkeypatch.setenv("PYTEST_TRITON_URL", "http://127.0.0.1:9")
        arguments = ("--triton-url=http://127.0.0.1:9",) if where == "option" else ()
        result = project.run("suite", *arguments)
        assert result.clause("BAT-02")["reason_code"] == "needs_load"
        assert result.status == 0
        allowed = project.run("--triton-allow-load", *arguments)
        assert allowed.clause("BAT-02")["status"] == "pass"


class TestEndedEarly:
    def test_interrupted(self, project) -> None:
        project.suite({BASIC: "interrupt"})
        result = project.run("suite")
        assert result.status == 2
        assert not result.report["complete"]
        assert result.verdict["exit_status"] == 2
        assert result.verdict["level"] == "none"
        assert result.clause("INF-01")["reason_code"] == "not_run"
        assert result.clause("SET-01")["status"] == "pass"  # it was before

    @pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
    def test_stopped_at_the_first_failure(self, project, option: str) -> None:
        project.suite({"INF-01": "fail"})
        result = project.run("suite", option)
        assert result.status in (1, 2)
        assert not result.report["complete"]
        assert result.clause("INF-01")["status"] == "fail"
        assert result.clause(BASIC)["status"] == "pass"
        assert result.clause("MTR-01")["reason_code"] == "not_run"

    def test_a_failure_above_the_tier_does_not_stop(self, project) -> None:
        project.suite({"ACC-01": "pass", ADVANCED: "fail"})
        result = project.run("suite", "-x")
        assert result.status == 0
        assert result.report["complete"]

    def test_exit_with_status_0_is_no_pass(self, project) -> None:
        project.suite({"INF-01": "exit"})
        result = project.run("suite")
        assert result.status == 1
        assert not result.report["complete"]

    def test_a_file_that_cannot_be_collected(self, project) -> None:
        project.suite()
        project.write("suite/test_setup.py", "import nothing_of_that_name\n")
        result = project.run("suite")
        assert result.status == 2
        assert not result.report["complete"]
        again = project.run("suite", "--continue-on-collection-errors")
        assert again.status == 1
        assert not again.report["complete"]


class TestRefused:
    def test_reruns(self, project) -> None:
        pytest.importorskip("pytest_rerunfailures")
        project.suite()
        result = project.run("suite", "--reruns=2")
        assert result.status == 4
        assert "--reruns would turn" in result.output
        project.write("test_team.py", "def test_it(): pass\n")
        assert project.run("test_team.py", "--reruns=2").status == 0

    @pytest.mark.parametrize("arguments", [("--triton-profile", "certificate")])
    def test_what_is_not_built(self, project, arguments: tuple[str, ...]) -> None:
        project.suite()
        project.write("old.json", "{}")
        result = project.run("suite", *arguments)
        assert result.status == 4
        assert "not built yet" in result.output

    def test_a_clause_that_does_not_exist(self, project) -> None:
        project.write(
            "test_x.py", "import pytest\n@pytest.mark.clause('ABC-01')\ndef test(): pass\n"
        )
        result = project.run()
        assert result.status == 4
        assert "there is no clause 'ABC-01'" in result.output

    @pytest.mark.parametrize(
        "marker", ["clause", "clause()", "clause('A-01', 'B-01')", "clause(3)"]
    )
    def test_a_marker_without_one_id(self, project, marker: str) -> None:
        project.write("test_x.py", f"import pytest\n@pytest.mark.{marker}\ndef test(): pass\n")
        result = project.run()
        assert result.status == 4
        assert "@pytest.mark.clause('ABC-01')" in result.output

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--triton-url", "http://h:1", "--triton-repository", "."),
            ("--triton-url", "h:8000"),
            ("--triton-repository", "nowhere"),
            ("--triton-boot-timeout", "-1"),
            ("--triton-boot-timeout", "soon"),
            ("--triton-seed", "x"),
            ("--triton-header", "nothing"),
            ("--triton-allow-load", "-3"),
            ("--triton-tier", "gold"),
        ],
    )
    def test_an_option_that_cannot_be_used(self, project, arguments: tuple[str, ...]) -> None:
        project.write("test_team.py", "def test_it(): pass\n")
        result = project.run(*arguments)
        assert result.status == 4
        assert arguments[0] in result.output
