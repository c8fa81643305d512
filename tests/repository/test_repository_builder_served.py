"""What the builder writes, on a real server: the how-to page's code, and the rest of the options."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe
from pytest_triton.repository.builder import (
    BuildRefused,
    ControlInput,
    DynamicBatching,
    ModelWarmup,
    Oldest,
    RepositoryBuilder,
    SequenceBatching,
    State,
    TensorSpec,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "build-a-repository.md"
#: Adds its state to the input.
SUM = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x, held = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                for name in ("x", "held")
            )
            tensors = [pb_utils.Tensor(name, x + held) for name in ("y", "kept")]
            answers.append(pb_utils.InferenceResponse(tensors))
        return answers
"""
#: Tells the rank of x, and whether there is a mask.
LOOK = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            mask = pb_utils.get_input_tensor_by_name(request, "mask")
            told = np.array([[x.ndim, mask is not None]] * len(x), np.int32)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", told)]))
        return answers
"""
FOUR = TensorSpec("x", "FP32", (4,))


def test_the_page_builds_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code[1], names)
    builder = names["repository"]
    assert isinstance(builder, RepositoryBuilder)
    with pytest.raises(BuildRefused, match=r"BAT003 preferred_batch_size 32 is above max_batch"):
        builder.python(
            "more", str(names["SCALE"]), inputs=[FOUR], outputs=[TensorSpec("y", "FP32", (4,))],
            max_batch_size=16, dynamic_batching=DynamicBatching(0, (32,)),
        )  # fmt: skip
    with embedded(ServerSpec(builder.path, device="cpu")) as server:
        with HttpProbe(server.http_url) as probe:
            rows = np.array([[100, 200, 300, 400]], np.float32)
            answer = probe.infer("scale_twice", {"raw": rows})["twice"]
            assert np.allclose(answer, rows / 100)
            statistics = probe.statistics("scale")["model_stats"][0]
            # Two instances, each with a warm-up of 16 and one of 1, and two steps of a request.
            assert statistics["inference_count"] == 2 * (16 + 1) + 2
            assert probe.model_config("scale_twice")["max_batch_size"] == 16


def test_sequences_reshapes_and_options_are_served(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "r")
    begin = np.array([10, 20, 30, 40], np.float32)
    for name, initial in (("zeros", "zero_data"), ("given", begin)):
        builder.python(
            name,
            SUM,
            inputs=[FOUR],
            outputs=[TensorSpec("y", "FP32", (4,))],
            sequence_batching=SequenceBatching(
                Oldest(),
                [ControlInput("START", "CONTROL_SEQUENCE_START", (False, True))],
                [State("held", "kept", "FP32", (4,), initial)],
            ),
        )
    builder.python(
        "look",
        {1: "raise SystemExit", 2: LOOK},
        inputs=[TensorSpec("x", "FP32", (1,)), TensorSpec("mask", "BOOL", (1,))],
        outputs=[TensorSpec("y", "INT32", (2,))],
        reshape={"x": []},
        optional_inputs=["mask"],
        model_warmup=[ModelWarmup(count=2)],
        parameters={"AS_TEXT": True},
        response_cache=False,
    )
    with embedded(ServerSpec(builder.path, device="cpu")) as server:
        with HttpProbe(server.http_url) as probe:
            ones = np.ones((1, 4), np.float32)
            for name, first in (("zeros", 0 * begin), ("given", begin)):
                for number in range(3):
                    of = {"sequence_id": 3, "sequence_start": number == 0,
                          "sequence_end": number == 2}  # fmt: skip
                    answer = probe.infer(name, {"x": ones}, parameters=of)["y"]
                    assert np.array_equal(answer[0], first + 1), "the Python backend keeps no state"
            one = {"x": np.ones((2, 1), np.float32)}
            assert probe.infer("look", one)["y"].tolist() == [[1, 0], [1, 0]]
            one["mask"] = np.ones((2, 1), bool)
            assert probe.infer("look", one)["y"].tolist() == [[1, 1], [1, 1]]
            parameters = probe.model_config("look")["parameters"]
            assert parameters["AS_TEXT"]["string_value"] == "true"
