"""Tiny models of the python backend, one for each behaviour that a probe has to carry."""

from __future__ import annotations

from pathlib import Path

TYPES = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
         "FP16", "FP32", "FP64", "STRING")  # fmt: skip

_IMPORT = "import triton_python_backend_utils as pb_utils\nimport numpy as np\nimport time\n"
_LOOP = """

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            found = self.one(**tensors)
            answers.append(pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, value) for name, value in found.items()]))
        return answers

"""
_STREAM = """

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            count = int(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()[0])
            sender = request.get_response_sender()
            if count < 0:
                error = pb_utils.TritonError("a count is never negative")
                sender.send(pb_utils.InferenceResponse(error=error))
            for number in range(count):
                tensor = pb_utils.Tensor("OUT", np.array([number], np.int32))
                sender.send(pb_utils.InferenceResponse([tensor]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def _tensors(kind: str, *tensors: tuple[str, str, str]) -> str:
    lines = [f'{{ name: "{n}" data_type: TYPE_{t} dims: [ {d} ] }}' for n, t, d in tensors]
    return f"{kind} [ {', '.join(lines)} ]\n"


def _write(repository: Path, name: str, config: str, code: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(f'backend: "python"\n{config}')
    (repository / name / "1" / "model.py").write_text(_IMPORT + code)


def write_models(repository: Path) -> None:
    """``all_types``, ``add_sub``, ``strings``, ``fails``, ``slow`` and ``repeat``."""
    one = _LOOP + "    def one(self, "
    _write(
        repository,
        "all_types",
        "max_batch_size: 0\n"
        + _tensors("input", *[(f"IN_{kind}", kind, "-1") for kind in TYPES])
        + _tensors("output", *[(f"OUT_{kind}", kind, "-1") for kind in TYPES]),
        one + "**tensors):\n        return {'OUT' + n[2:]: v for n, v in tensors.items()}\n",
    )
    _write(
        repository,
        "add_sub",
        "max_batch_size: 8\ndynamic_batching { }\n"
        + _tensors("input", ("A", "INT32", "4"), ("B", "INT32", "4"))
        + _tensors("output", ("SUM", "INT32", "4"), ("DIFFERENCE", "INT32", "4")),
        one + "A, B):\n        return {'SUM': A + B, 'DIFFERENCE': A - B}\n",
    )
    _write(
        repository,
        "strings",
        "max_batch_size: 8\n"
        + _tensors("input", ("IN", "STRING", "-1"))
        + _tensors("output", ("OUT", "STRING", "-1")),
        one + "IN):\n        return {'OUT': IN}\n",
    )
    _write(
        repository,
        "fails",
        "max_batch_size: 0\n"
        + _tensors("input", ("IN", "FP32", "-1"))
        + _tensors("output", ("OUT", "FP32", "-1")),
        one + "IN):\n        raise ValueError('it always does')\n",
    )
    _write(
        repository,
        "slow",
        "max_batch_size: 0\n"
        + _tensors("input", ("IN", "FP32", "1"))
        + _tensors("output", ("OUT", "FP32", "1")),
        one + "IN):\n        time.sleep(float(IN[0]))\n        return {'OUT': IN}\n",
    )
    _write(
        repository,
        "repeat",
        "max_batch_size: 0\nmodel_transaction_policy { decoupled: true }\n"
        + _tensors("input", ("IN", "INT32", "1"))
        + _tensors("output", ("OUT", "INT32", "1")),
        _STREAM,
    )
