"""Exported models with their derived configurations on one real server: every kind at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from pytest_triton.deployment import Deployment  # noqa: E402
from pytest_triton.export import export_huggingface, export_model, export_torchscript  # noqa: E402
from pytest_triton.launch.embedded import ServerSpec, embedded  # noqa: E402
from pytest_triton.probe.http import HttpProbe  # noqa: E402
from pytest_triton.repository.lint import lint  # noqa: E402
from pytest_triton.repository.sidecar import read_golden, read_sidecar  # noqa: E402

nn = torch.nn
ROWS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


class Scores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return {"scores": self.layer(x), "norm": x.norm(dim=1)}


class Difference(nn.Module):
    def forward(self, a, b):
        return a - b


class Whole(nn.Module):
    """No batch dimension, and a branch that depends on data: only a script keeps it."""

    def forward(self, x):
        if bool((x.sum() > 0).item()):
            return x * 2
        return x * 3


MODELS = (
    "bert", "embedder", "gpt2", "llama_last", "dict", "narrow", "by_order", "by_index", "whole",
    "frozen",
)  # fmt: skip


@pytest.fixture(scope="module")
def repository(tiny: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "repository"
    torch.manual_seed(0)

    def add(name: str, function: Callable[..., Any], *given: Any, **options: Any) -> None:
        export_model(path, name, lambda place: function(*given, path=place, **options))

    add("bert", export_huggingface, tiny("bert"))
    add("embedder", export_huggingface, tiny("bert_base"), normalize=True)
    add("gpt2", export_huggingface, tiny("gpt2"), max_batch_size=4)
    add("llama_last", export_huggingface, tiny("llama").to(torch.bfloat16), positions="last")
    add("dict", export_torchscript, Scores(), {"x": ROWS})
    add("narrow", export_torchscript, nn.Linear(4, 2, dtype=torch.bfloat16), {"x__0": ROWS})
    both = {"left": ROWS, "right": ROWS * 3}
    add("by_order", export_torchscript, Difference(), both)
    add("by_index", export_torchscript, Difference(), {"IN__1": ROWS, "IN__0": ROWS * 3})
    add("whole", export_torchscript, Whole(), {"x": ROWS}, max_batch_size=0, method="script")
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    add("frozen", export_torchscript, net, {"input": ROWS}, variant="frozen")
    return path


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Deployment]:
    with embedded(ServerSpec(repository, device="cpu"), tolerant=True) as deployment:
        yield deployment


def test_lint_has_nothing_to_say(repository: Path) -> None:
    result = lint(repository)
    assert result.models == tuple(sorted(MODELS))
    assert [f for f in result.findings if f.severity != "info"] == []


def test_all_of_them_load(served: Deployment) -> None:
    assert served.failed == {}
    assert sorted(served.serving) == sorted(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_server_answers_as_eager_does(served: Deployment, repository: Path, name: str) -> None:
    record = read_sidecar(repository / name / "1")
    assert record is not None
    assert (record.model, record.version) == (name, 1)
    with HttpProbe(served.http_url) as probe:
        for case in read_golden(repository / name / "1"):
            answer = probe.infer(name, case.inputs)
            assert set(answer.outputs) == set(case.outputs)
            for key, expected in case.outputs.items():
                np.testing.assert_allclose(
                    answer.outputs[key], expected, record.rtol, record.atol, err_msg=case.name
                )


def test_labels_come_with_a_classification(served: Deployment, repository: Path) -> None:
    import json
    from urllib.request import Request, urlopen

    case = read_golden(repository / "bert" / "1")[1]
    body = {
        "inputs": [
            {"name": name, "datatype": "INT64", "shape": list(value.shape),
             "data": value.tolist()}
            for name, value in case.inputs.items()
        ],
        "outputs": [{"name": "logits", "parameters": {"classification": 3}}],
    }  # fmt: skip
    request = Request(f"{served.http_url}/v2/models/bert/infer", json.dumps(body).encode())
    with urlopen(request, timeout=30) as response:
        row = json.load(response)["outputs"][0]["data"][:3]
    order = np.argsort(-case.outputs["logits"][0])
    labels = ("neg", "neu", "pos")
    assert [text.split(":")[2] for text in row] == [labels[index] for index in order]
