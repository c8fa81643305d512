"""What is handed in: found where it is, refused where it leads outside, held against runs."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_triton.benchmarked import benchmarks, interval, model_of, order_told, same_machine
from pytest_triton.handed_in import NotAllowed, look
from pytest_triton.launch.machine import cpu
from pytest_triton.load_tested import Seen, arrived
from pytest_triton.reports.text import alone
from pytest_triton.settings import SettingsError, resolve

ROW = "concurrency,rps,p50_ms,p95_ms,p99_ms\n1,269.8,3.56,4.39,4.98\n"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "handed_in"


def hand_in(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def test_the_example() -> None:
    found = look(EXAMPLE)
    assert [shown for _, shown in found.benchmarks] == ["benchmarks/mlp.csv"]
    assert found.load_test == EXAMPLE / "locustfile.py"
    assert found.diagnose == EXAMPLE / "diagnose.py"
    assert (found.model, found.load_model, found.batch) == ("mlp", "mlp", 1)


def test_nothing(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert (found.benchmarks, found.load_test) == ((), None)
    assert (found.diagnose, found.runbook) == (None, None)


def test_where_a_diagnosis_may_lie(tmp_path: Path) -> None:
    hand_in(tmp_path, troubleshooting__diagnose_DOT_sh="", runbook_DOT_md="", mine_DOT_py="")
    found = look(tmp_path)
    assert found.diagnose == tmp_path / "troubleshooting" / "diagnose.sh"
    assert found.runbook == tmp_path / "runbook.md"
    hand_in(tmp_path, submission_DOT_toml="[files]\ndiagnose = 'mine.py'\n")
    assert look(tmp_path).diagnose == tmp_path / "mine.py"


def test_where_files_may_lie(tmp_path: Path) -> None:
    hand_in(
        tmp_path, benchmark_http_DOT_csv=ROW, benchmarks__deep__b_DOT_json="[]",
        benchmarks__notes_DOT_txt="", load_test__loadtest_DOT_sh="",
    )  # fmt: skip
    found = look(tmp_path)
    assert [shown for _, shown in found.benchmarks] == [
        "benchmark_http.csv",
        "benchmarks/deep/b.json",
    ]
    assert found.load_test == tmp_path / "load_test" / "loadtest.sh"
    (tmp_path / "submission.toml").write_text(
        '[files]\nbenchmark = ["benchmarks/deep/b.json"]\nload_test = "x.py"\n[benchmark]\nbatch = 8\n'
    )
    (tmp_path / "x.py").touch()
    found = look(tmp_path)
    assert [shown for _, shown in found.benchmarks] == ["benchmarks/deep/b.json"]
    assert (found.load_test, found.batch) == (tmp_path / "x.py", 8)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("[files]\nbenchmark = '/etc/passwd'", "leads outside"),
        ("[files]\nbenchmark = '../x.csv'", "leads outside"),
        ("[files]\nload_test = 'a/../../x'", "leads outside"),
        ("[files]\nbenchmark = 'none.csv'", "there is no 'none.csv'"),
        ("[files]\nbenchmark = 7", "7 names no file"),
        ("[files]\nbenchmark = ''", "names no file"),
        ("[files]\nload_test = 'benchmarks'", "benchmarks is no file"),
        ("[files]\nscript = 'x'", "may say alertmanager, benchmark"),
        ("files = 3", "may say"),
        ("[benchmark]\nbatch = 0", "batch is 0"),
        ("[benchmark]\nbatch = true", "batch is True"),
        ("[benchmark]\nmodel = 3", "model is 3"),
        ("[", "submission.toml"),
        ("x = '" + "y" * 70_000 + "'", "over 64 KiB"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, manifest: str, message: str) -> None:
    hand_in(tmp_path, submission_DOT_toml=manifest, benchmarks__a_DOT_csv=ROW)
    with pytest.raises(NotAllowed, match=message) as caught:
        look(tmp_path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "link", ["benchmarks/a.csv", "benchmarks", "loadtest.py", "submission.toml"]
)
def test_links_that_lead_outside_are_refused(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    hand_in(outside, a_DOT_csv=ROW)
    inside = tmp_path / "in"
    (inside / link).parent.mkdir(parents=True)
    (inside / link).symlink_to(outside if link == "benchmarks" else outside / "a.csv")
    with pytest.raises(NotAllowed, match="link that leads outside"):
        look(inside)


def test_levels_of_several_files_are_one_benchmark(tmp_path: Path) -> None:
    for n in (1, 2, 4):
        row = ROW.replace("1,269.8", f"{n},{269.8 + n}")
        hand_in(tmp_path, **{f"benchmarks__{n}_DOT_csv": row})
    (found,) = benchmarks(look(tmp_path))
    assert [level.offered for level in found.kept] == [1, 2, 4]


def subject(*names: str, owned: bool = True):
    models = {name: SimpleNamespace(is_ensemble=False, config={}) for name in names}
    return SimpleNamespace(
        models=models, pytorch=models, deployment=SimpleNamespace(owned=owned)
    )  # fmt: skip


def test_which_model_it_is_of(tmp_path: Path) -> None:
    hand_in(tmp_path, benchmarks__mlp_http_DOT_csv=ROW)
    handed = look(tmp_path)
    (found,) = benchmarks(handed)
    assert model_of(found, handed, subject("mlp", "other")) == "mlp"
    assert model_of(found, handed, subject("one")) == "one"
    with pytest.raises(AssertionError, match=r"which model is it of\?.*\[benchmark\] model"):
        model_of(found, handed, subject("one", "two"))
    hand_in(tmp_path, submission_DOT_toml="[benchmark]\nmodel = 'two'\n")
    assert model_of(found, look(tmp_path), subject("mlp", "two")) == "two"
    with pytest.raises(AssertionError, match="is of 'two', ready are mlp"):
        model_of(found, look(tmp_path), subject("mlp"))


@pytest.mark.parametrize(
    ("claimed", "ratio", "expected"),
    [
        (3.0, (1.2, 1.4), "yes"),
        (3.0, (0.95, 1.4), "open"),  # the interval has both orders in it
        (3.0, (0.85, 0.98), "open"),  # too near to be called another order
        (3.0, (0.5, 0.8), "no"),
        (0.5, (0.4, 0.9), "yes"),
        (0.5, (1.2, 2.0), "no"),
        (0.5, (0.9, 2.0), "open"),
        (1.05, (0.8, 1.2), "yes"),
        (1.05, (2.0, 3.0), "open"),
        (1.05, (0.2, 9.0), "yes"),
    ],
)
def test_the_order_of_two_levels(claimed: float, ratio: tuple[float, float], expected: str) -> None:
    assert order_told(claimed, ratio) == expected


def test_an_interval_of_few_values() -> None:
    low, high = interval([1.0, 2.0, 3.0, 4.0])
    assert (low + high) / 2 == pytest.approx(2.5)
    assert high - low == pytest.approx(2 * 3.182 * math.sqrt(5 / 3) / 2, rel=1e-3)


def test_a_machine_is_the_same_only_where_the_server_is_ours(tmp_path: Path) -> None:
    hand_in(tmp_path, benchmarks__a_DOT_csv=ROW)
    (found,) = benchmarks(look(tmp_path))
    (level,) = found.levels
    assert not same_machine(level, subject())
    level.record.more["machine"] = cpu()  # type: ignore[index]
    assert same_machine(level, subject())
    assert not same_machine(level, subject(owned=False))


def test_what_an_ensemble_asks_of_its_steps_is_no_request_of_clients() -> None:
    served = subject("mlp", "pipeline", "step")
    served.models["pipeline"] = SimpleNamespace(
        is_ensemble=True, config={"ensemble_scheduling": {"step": [{"model_name": "step"}]}}
    )

    def seen(mlp: int, pipeline: int, step: int, failed: int = 0) -> dict[str, Seen]:
        return {"mlp": Seen(mlp, failed), "pipeline": Seen(pipeline, 0), "step": Seen(step, 0)}

    before = seen(5, 0, 1, failed=1)
    assert arrived(served, before, seen(5, 9, 10, failed=1)) == {"pipeline": Seen(9, 0)}
    assert arrived(served, before, seen(7, 0, 4, failed=2)) == {
        "mlp": Seen(2, 1),
        "step": Seen(3, 0),
    }


def test_the_command_that_repeats_a_clause_names_what_was_handed_in() -> None:
    run = {"command": ["pytest", "--pyargs", "pytest_triton.suites"], "seed": 3}
    report = {"run": {**run, "settings": {"handed_in": "/a b"}}}
    clause = {"nodeids": ["suites/test_handed_in.py::test_it"]}
    assert alone(report, clause) == (
        "env 'PYTEST_TRITON_HANDED_IN=/a b' pytest --pyargs "
        "pytest_triton.suites.test_handed_in::test_it --triton-seed 3"
    )


def test_ini_and_environment_name_the_directory(tmp_path: Path) -> None:
    def settings(ini: str | None, environ: dict[str, str]):
        return resolve(
            lambda option: None,
            lambda option: ini if option.name == "handed-in" else None,
            environ=environ, cwd=tmp_path / "cwd", root=tmp_path,
        )  # fmt: skip

    (tmp_path / "a").mkdir()
    (tmp_path / "cwd" / "b").mkdir(parents=True)
    assert settings(None, {}).handed_in is None
    assert settings("a", {}).handed_in == tmp_path / "a"
    said = {"PYTEST_TRITON_HANDED_IN": "b"}
    assert settings("a", said).handed_in == tmp_path / "cwd" / "b"
    with pytest.raises(SettingsError, match="triton_handed_in: there is no directory"):
        settings("none", {})
