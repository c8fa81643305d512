"""The fixture triton_lint, in somebody's own tests."""

from __future__ import annotations

import pytest

CONFIG = """\
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
dynamic_batching { }
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose repository has one sound model."""
    model = pytester.mkdir("model_repository") / "sound"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text("class TritonPythonModel:\n    pass\n")
    (model / "config.pbtxt").write_text(CONFIG)
    pytester.makeini("[pytest]\ntriton_repository = model_repository\n")
    return pytester


def broken(project: pytest.Pytester) -> None:
    model = project.path / "model_repository" / "sound"
    (model / "config.pbtxt").write_text(CONFIG.replace("max_batch_size", "max_batchsize"))


def test_a_sound_repository(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_lint(triton_lint):
            result = triton_lint().require(max="info")
            assert result.models == ("sound",)
            assert triton_lint("model_repository/sound/config.pbtxt").errors == ()
        """
    )
    project.runpytest().assert_outcomes(passed=1)


def test_findings_fail_with_a_table(project: pytest.Pytester) -> None:
    broken(project)
    project.makepyfile(
        """
        def test_lint(triton_lint):
            triton_lint().require()
        """
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E   *sound/config.pbtxt:2:1 error CFG003 ModelConfig has no field *",
            "E *→ write max_batch_size",
            "E *explain one with  pytest-triton lint --explain CFG003",
        ]
    )
    result.stdout.no_fnmatch_line("*def require*")


def test_what_is_tolerated(project: pytest.Pytester) -> None:
    broken(project)
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("severity", ["error", "warning", "info"])
        def test_lint(triton_lint, severity):
            result = triton_lint(severities={"CFG": severity, "BAT": "off"})
            result.require(max=severity)
            below = {"error": "warning", "warning": "info", "info": None}[severity]
            with pytest.raises(AssertionError):
                result.require(max=below)
        """
    )
    project.runpytest().assert_outcomes(passed=3)


def test_settings_of_the_project(project: pytest.Pytester) -> None:
    broken(project)
    (project.path / "pyproject.toml").write_text(
        '[tool.pytest-triton.lint]\nseverities = { CFG003 = "off", BAT = "off" }\n'
    )
    project.makepyfile(
        """
        def test_lint(triton_lint):
            triton_lint().require(max=None)
        """
    )
    project.runpytest().assert_outcomes(passed=1)


def test_no_server_is_started_and_an_endpoint_has_no_files(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\ntriton_url = http://127.0.0.1:9\n")
    project.makepyfile(
        """
        import pytest
        from pytest_triton.errors import Misused

        def test_lint(triton_lint):
            with pytest.raises(Misused, match="no files of an endpoint"):
                triton_lint()
            assert triton_lint("model_repository").errors == ()
        """
    )
    project.runpytest().assert_outcomes(passed=1)
