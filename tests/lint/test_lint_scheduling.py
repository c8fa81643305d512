"""Batching, sequences, warm-up and ensembles: what the corpus cannot show by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from lint_corpus import IDENTITY, Case, cases, write_case

from pytest_triton.repository.lint import Finding, LintOptions, lint, rules
from pytest_triton.repository.lint.finding import apply_edits

THEMES = ("batching", "sequence", "warmup", "ensembles")
IO = """\
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
ENSEMBLE = """\
platform: "ensemble"
max_batch_size: 8
input [ { name: "in" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "out" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [ {
  model_name: "one" model_version: -1
  input_map { key: "x" value: "in" }
  output_map { key: "y" value: "out" }
} ] }
"""


def put(directory: Path, config: str, *versions: str, code: str = IDENTITY) -> Path:
    """A model; without versions it has no directories."""
    directory.mkdir(parents=True)
    (directory / "config.pbtxt").write_text(config)
    for version in versions:
        (directory / version).mkdir()
        if code:
            (directory / version / "model.py").write_text(code)
    return directory


def told(path: Path, options: LintOptions | None = None, *, infos: bool = False) -> list[str]:
    found = lint(path, options).findings
    return [one.rule for one in found if infos or one.severity != "info"]


def of(path: Path, rule: str, options: LintOptions | None = None) -> list[Finding]:
    return [one for one in lint(path, options).findings if one.rule == rule]


@pytest.mark.parametrize(
    "case", [case for case in cases() if case.theme in THEMES and case.expect], ids=lambda c: c.id
)
def test_edits_do_what_they_promise(case: Case, tmp_path: Path) -> None:
    """Each edit alone leaves a text that parses and no longer has its finding."""
    model = write_case(tmp_path, case)
    config = model / "config.pbtxt"
    text = config.read_text("utf-8")
    for finding in lint(tmp_path).findings:
        if finding.model != case.id or not finding.edits:
            continue
        config.write_text(apply_edits(text, finding.edits), "utf-8")
        after = lint(tmp_path).findings
        assert not [one for one in after if one.rule in ("CFG002", "CFG003", "CFG004")]
        same = (finding.rule, finding.message)
        assert same not in {(one.rule, one.message) for one in after if one.model == case.id}


@pytest.mark.parametrize(
    ("delay", "budget", "severity"),
    [
        (100, 0.0, None),
        (20_000, 0.0, None),
        (150_000, 0.0, "info"),
        (1_000_000, 0.0, "warning"),
        (20_000, 20.0, "warning"),
        (20_000, 21.0, None),
        (150_000, 500.0, "info"),
    ],
)
def test_a_delay_against_the_latency_budget(
    delay: int, budget: float, severity: str | None, tmp_path: Path
) -> None:
    batching = f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}"
    config = f'backend: "python"\nmax_batch_size: 8\n{IO}{batching}'
    path = put(tmp_path / "m", config, "1")
    found = of(path, "BAT010", LintOptions(latency_budget_ms=budget))
    assert [one.severity for one in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("backend", "rules"),
    [
        ('backend: "python"', ["BAT002"]),
        ('backend: "pytorch"', ["BAT002"]),
        ('platform: "pytorch_libtorch"', ["BAT002"]),
        ('backend: "onnxruntime"', []),
        ('platform: "tensorrt_plan"', []),
        ('platform: "tensorflow_savedmodel"', []),
        ('backend: "openvino"', []),
        ('backend: "vllm"', []),
        ('backend: "dali"', []),
        ('backend: "of_somebody"', []),
        ('default_model_filename: "model.onnx"', []),
    ],
)
def test_who_batches_by_itself(backend: str, rules: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(f"{backend}\nmax_batch_size: 8\n{IO}")
    assert [rule for rule in told(tmp_path / "config.pbtxt") if rule == "BAT002"] == rules


def test_decoupled_models_mostly_batch_themselves(tmp_path: Path) -> None:
    config = (
        f'backend: "python"\nmax_batch_size: 8\n{IO}model_transaction_policy {{ decoupled: true }}'
    )
    (found,) = of(put(tmp_path / "m", config, "1"), "BAT002")
    assert found.severity == "info"


def test_a_missing_model_is_missing_only_in_a_whole_repository(tmp_path: Path) -> None:
    put(tmp_path / "r" / "e", ENSEMBLE, "1", code="")
    put(tmp_path / "r" / "other", f'backend: "python"\n{IO}', "1")
    assert told(tmp_path / "r" / "e") == []
    assert told(tmp_path / "r" / "e" / "config.pbtxt") == []
    assert told(tmp_path / "r") == ["ENS006"]


def test_another_namespace_is_not_looked_into(tmp_path: Path) -> None:
    text = ENSEMBLE.replace('model_name: "one"', 'model_name: "one" model_namespace: "elsewhere"')
    put(tmp_path / "e", text, "1", code="")
    put(tmp_path / "other", f'backend: "python"\n{IO}', "1")
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    ("config", "severities"),
    [
        # Complete, and known to be: an error.
        (f'backend: "python"\nmax_batch_size: 8\n{IO}dynamic_batching {{ }}', ["error"]),
        # The backend may know more than the configuration says.
        (f'backend: "onnxruntime"\nmax_batch_size: 8\n{IO}', ["warning"]),
        (f'backend: "of_somebody"\nmax_batch_size: 8\n{IO}', ["warning"]),
        # Nothing is said of tensors that a backend fills in, or of no configuration at all.
        ('backend: "onnxruntime"\nmax_batch_size: 8\n', []),
        ('platform: "tensorrt_plan"\n', []),
        ("", []),
    ],
)
def test_models_that_complete_themselves(
    config: str, severities: list[str], tmp_path: Path
) -> None:
    put(tmp_path / "e", ENSEMBLE.replace('key: "x"', 'key: "X"'), "1", code="")
    put(tmp_path / "one", config, "1", code=IDENTITY if "python" in config else "")
    if "python" not in config:
        (tmp_path / "one" / "1" / "model.onnx").write_bytes(b"\x08\x07\x12")
    assert [one.severity for one in lint(tmp_path).findings if one.rule == "ENS012"] == severities
    assert not [rule for rule in told(tmp_path) if rule in ("ENS013", "ENS014", "ENS015")]


@pytest.mark.parametrize(
    ("own", "batch", "dims", "fits"),
    [
        ("[ 4 ]", 8, "[ 4 ]", True),
        ("[ 4 ]", 8, "[ -1 ]", True),
        ("[ -1 ]", 8, "[ 4 ]", True),
        ("[ 4 ]", 8, "[ 5 ]", False),
        ("[ 4 ]", 8, "[ 4, 1 ]", False),
        ("[ 4 ]", 0, "[ -1, 4 ]", True),
        ("[ 4 ]", 0, "[ 2, 4 ]", True),
        ("[ 4 ]", 0, "[ -1, 5 ]", False),
        ("[ 4, 4 ]", 0, "[ 4 ]", False),
    ],
)
def test_the_rule_for_shapes(own: str, batch: int, dims: str, fits: bool, tmp_path: Path) -> None:
    """As the core compares them: -1 fits all, and the batch dimension counts as -1."""
    put(tmp_path / "e", ENSEMBLE.replace("[ 4 ]", own, 1), "1", code="")
    step = f'backend: "python"\nmax_batch_size: {batch}\n{IO.replace("[ 4 ]", dims, 1)}'
    put(tmp_path / "one", step, "1")
    assert (of(tmp_path, "ENS015") == []) is fits


def test_a_backend_that_may_find_out_that_it_batches(tmp_path: Path) -> None:
    """max_batch_size 0 of onnxruntime may become 4: both shapes are possible."""
    for number, dims in enumerate(("[ 4 ]", "[ -1, 4 ]", "[ 5 ]")):
        root = tmp_path / str(number)
        put(root / "e", ENSEMBLE, "1", code="")
        put(root / "one", f'backend: "onnxruntime"\n{IO.replace("[ 4 ]", dims)}', "1", code="")
        assert bool(of(root, "ENS015")) is (dims == "[ 5 ]")


def test_ensembles_in_ensembles_are_as_decoupled_as_their_steps(tmp_path: Path) -> None:
    cached = ENSEMBLE + "response_cache { enable: true }\n"
    put(
        tmp_path / "e",
        cached.replace('"one"', '"inner"').replace('"x"', '"in"').replace('"y"', '"out"'),
        "1",
        code="",
    )
    put(tmp_path / "inner", ENSEMBLE, "1", code="")
    step = f'backend: "python"\nmax_batch_size: 8\n{IO}dynamic_batching {{ }}\n'
    put(tmp_path / "one", step + "model_transaction_policy { decoupled: true }", "1")
    assert [one.model for one in of(tmp_path, "ENS022")] == ["e"]


def test_hostile_graphs_end(tmp_path: Path) -> None:
    """A chain in the wrong order, a ladder of ensembles, and thousands of names that nobody has."""
    steps = [
        f'{{ model_name: "m" model_version: -1 input_map {{ key: "x" value: "t{n}" }} '
        f'output_map {{ key: "y" value: "t{n + 1}" }} }}'
        for n in range(2000)
    ]
    head = ENSEMBLE[: ENSEMBLE.index("ensemble_scheduling")]
    chain = f"ensemble_scheduling {{ step [ {', '.join(reversed(steps))} ] }}"
    put(
        tmp_path / "chain",
        head.replace('"in"', '"t0"').replace('"out"', '"t2000"') + chain,
        "1",
        code="",
    )
    loose = ", ".join(step.replace('"t', f'"u{n}t') for n, step in enumerate(steps))
    put(tmp_path / "loose", f"{head}ensemble_scheduling {{ step [ {loose} ] }}", "1", code="")
    one = steps[0]
    for level in range(30):
        below = [one.replace('"m"', f'"level{level + 1}"')] * 3
        put(
            tmp_path / f"level{level}",
            f"{head}ensemble_scheduling {{ step [ {', '.join(below)} ] }}",
            "1",
            code="",
        )
    for number in range(300):
        below = ENSEMBLE.replace('"one"', f'"line{number + 1}"')
        put(tmp_path / f"line{number}", below, "1", code="")
    begin = time.monotonic()
    result = lint(tmp_path)
    assert time.monotonic() - begin < 20
    assert not [one for one in result.findings if one.model == "chain" and one.rule == "ENS021"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("dynamic_batching { preferred_batch_size: [ 4 ] }", "BAT005"),
        ("dynamic_batching { preferred_batch_size: [ 4, 8 ] }", "BAT005"),
        ("dynamic_batching { }", ""),
        ('dynamic_batching { } model_warmup { batch_size: 4 inputs { key: "x" value {'
         " data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } } }", "WRM008"),
    ],
)  # fmt: skip
def test_remarks(text: str, rule: str, tmp_path: Path) -> None:
    """Worth knowing, and nothing above that."""
    path = put(tmp_path / "m", f'backend: "python"\nmax_batch_size: 8\n{IO}{text}', "1")
    assert told(path, infos=True) == ([rule] if rule else [])


@pytest.mark.parametrize("rule", ["BAT011", "BAT013", "WRM009", "WRM010", "ENS023"])
def test_remarks_are_no_warnings(rule: str, tmp_path: Path) -> None:
    if rule == "ENS023":
        text = ENSEMBLE + "model_transaction_policy { decoupled: true }\n"
        put(tmp_path / "m", text, "1", code="")
        put(
            tmp_path / "one",
            f'backend: "python"\nmax_batch_size: 8\n{IO}dynamic_batching {{ }}',
            "1",
        )
        path = tmp_path
    else:
        path = put(tmp_path / "m", rules()[rule].bad) / "config.pbtxt"
    assert told(path) == []
    assert rule in told(path, infos=True)
