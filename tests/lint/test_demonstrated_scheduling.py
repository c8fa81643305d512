"""What Triton loads and lint calls an error: the harm, on a real server.

The configurations are cases of the corpus; their models tell what reaches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from lint_corpus import cases, write_case

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ConnectionFailed, RequestFailed

#: Answers the tensor that TOLD names, as it arrives, and something more.
TELLER = """\
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(SLEEP)
        answers = []
        for request in requests:
            told = pb_utils.get_input_tensor_by_name(request, "TOLD").as_numpy()
            tensor = pb_utils.Tensor("y", told.astype("f4") + ADDED)
            answers.append(pb_utils.InferenceResponse([tensor]))
        return answers
"""
ONES = np.ones((1, 4), np.float32)


@contextmanager
def served(
    path: Path, *names: str, told: str = "x", added: int = 0, sleep: float = 0.0
) -> Iterator[HttpProbe]:
    """Cases of the corpus, and models beside them, with models that tell a tensor."""
    path.mkdir()
    code = TELLER.replace("TOLD", told).replace("ADDED", str(added)).replace("SLEEP", str(sleep))
    for case in cases():
        if case.id in names:
            write_case(path, case)
    for file in path.glob("*/*/model.py"):
        file.write_text(code)
    spec = ServerSpec(path, device="cpu", auto_complete=True)
    with embedded(spec) as deployment, HttpProbe(deployment.http_url, timeout=30) as probe:
        yield probe


def in_sequence(probe: HttpProbe, model: str) -> list[list[float]]:
    """What the model tells of the three requests of one sequence."""
    told = []
    for number in range(3):
        of = {"sequence_id": 7, "sequence_start": number == 0, "sequence_end": number == 2}
        told.append(probe.infer(model, {"x": ONES * 5}, parameters=of)["y"].ravel().tolist())
    return told


def executions(probe: HttpProbe, model: str) -> int:
    return int(probe.statistics(model)["model_stats"][0]["execution_count"])


def at_once(probe: HttpProbe, model: str, count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda _: probe.infer(model, {"x": ONES}), range(count)))


def test_a_lone_request_is_rejected_while_it_waits(tmp_path: Path) -> None:
    """BAT009; the same with DELAY (a correct case of the corpus) is answered."""
    names = ("rejected_while_it_waits", "delayed_while_it_waits")
    with served(tmp_path / "r", *names) as probe:
        with pytest.raises(RequestFailed, match="Request timeout expired"):
            probe.infer("rejected_while_it_waits", {"x": ONES})
        assert probe.infer("delayed_while_it_waits", {"x": ONES})["y"].tolist() == ONES.tolist()


def test_a_control_of_one_value_tells_nothing(tmp_path: Path) -> None:
    """SEQ006: each request of the sequence looks like its first one."""
    with served(tmp_path / "r", "always_the_start", told="START") as probe:
        assert in_sequence(probe, "always_the_start") == [[1.0], [1.0], [1.0]]


def test_a_control_takes_the_place_of_an_input(tmp_path: Path) -> None:
    """SEQ007: the request sends four fives, the model gets the control."""
    with served(tmp_path / "r", "control_in_place_of_an_input") as probe:
        assert in_sequence(probe, "control_in_place_of_an_input") == [[1.0], [0.0], [0.0]]


def test_a_state_without_a_type_takes_the_model_down(tmp_path: Path) -> None:
    """SEQ011: the model is READY, and ends with the first request."""
    with served(tmp_path / "r", "state_without_a_type") as probe:
        assert probe.model_ready("state_without_a_type")
        with pytest.raises((RequestFailed, ConnectionFailed)) as failed:
            in_sequence(probe, "state_without_a_type")
        assert isinstance(failed.value, ConnectionFailed) or "not healthy" in str(failed.value)


def test_the_python_backend_keeps_no_state(tmp_path: Path) -> None:
    """SEQ016: the model answers a state with each request, and never sees it again."""
    with served(tmp_path / "r", "state_of_a_python_model", told="HELD", added=1) as probe:
        config = probe.model_config("state_of_a_python_model")
        assert config["sequence_batching"]["state"][0]["output_name"] == "y"
        assert in_sequence(probe, "state_of_a_python_model") == [[1.0] * 4] * 3


def test_an_ensemble_that_writes_its_input_never_answers(tmp_path: Path) -> None:
    """ENS017: its steps run and run."""
    name = "ensemble_that_never_answers"
    with served(tmp_path / "r", name) as probe:
        with HttpProbe(probe.url, timeout=3) as hasty, pytest.raises(ConnectionFailed):
            hasty.infer(name, {"in": ONES})
        assert executions(probe, "part_prepare") > 100


def test_warnings_about_batches(tmp_path: Path) -> None:
    """BAT002 and BAT004: four requests at once are four executions."""
    batches = "a_policy_for_each_level_and_one_more"
    names = ("batch_size_and_nothing_batches", "preferred_size_one")
    with served(tmp_path / "r", *names, batches, sleep=0.2) as probe:
        for name in names:
            at_once(probe, name, 4)
            assert executions(probe, name) == 4, name
        at_once(probe, batches, 4)
        assert executions(probe, batches) < 4


def test_warnings_about_ensembles(tmp_path: Path) -> None:
    """ENS020: one batch size of eight; ENS019: an option that is none."""
    one, option = "ensemble_of_one_size_of_batch", "ensemble_with_an_option_in_name_only"
    with served(tmp_path / "r", one, option) as probe:
        assert probe.infer(one, {"in": ONES})["out"].shape == (1, 4)
        with pytest.raises(RequestFailed, match="unexpected shape for input"):
            probe.infer(one, {"in": np.ones((2, 4), np.float32)})
        assert probe.infer(option, {"in": ONES, "extra": ONES})["out"].shape == (1, 4)
        with pytest.raises(RequestFailed, match="missing required input"):
            probe.infer(option, {"in": ONES})
