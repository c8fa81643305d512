"""Cases of execution: results, batching, and which error a request gets."""

from __future__ import annotations

import numpy as np
import torch
from backend_case import EXEC, XB, Ask, Case, X, config, f32, io

_CONTAINER = (
    EXEC + "output must be of type Tensor, List[str] or Tuple containing one of these two types. "
    "It should not be a List / Dictionary of Tensors or a Scalar"
)


def _fails(name: str, module: str, status: int, text: str, source: str, **more: object) -> Case:
    """A model of one input and one output whose every request fails."""
    asks = (Ask({"x": X}, status=status, text=text, begins=bool(more.pop("begins", False))),)
    return Case(name, module, str(more.pop("config", config())), source, asks=asks, **more)  # type: ignore[arg-type]


_CUBE = np.arange(6, dtype=np.float32).reshape(2, 1, 3, 1)

TYPES = tuple(
    Case(
        f"type_{name.lower()}",
        "Identity",
        "max_batch_size: 2\n"
        + io("input", ("x", name, [2]))
        + "\n"
        + io("output", ("y", name, [2])),
        "seen: triton.md 2.4",
        asks=(Ask({"x": value}, {"y": value}), Ask({"x": value[:1]}, {"y": value[:1]})),
    )
    for name, value in {
        "BOOL": np.array([[True, False], [False, True]]),
        "UINT8": np.array([[0, 255], [1, 2]], np.uint8),
        "INT8": np.array([[-128, 127], [1, 2]], np.int8),
        "INT16": np.array([[-(2**15), 2**15 - 1], [1, 2]], np.int16),
        "INT32": np.array([[-(2**31), 2**31 - 1], [1, 2]], np.int32),
        "INT64": np.array([[-(2**63), 2**63 - 1], [1, 2]], np.int64),
        "FP16": np.array([[65504, -0.5], [1, 2]], np.float16),
        "FP32": np.array([[1e30, -0.5], [1, 2]], np.float32),
        "FP64": np.array([[1e300, -0.5], [1, 2]], np.float64),
    }.items()
)

RESULTS = (
    Case(
        "dict_input",
        "TakeDict",
        config("right left"),
        "seen: pytorch-backend.md 5",
        asks=(Ask({"left": f32(5, 7), "right": f32(1, 2)}, {"y": f32(4, 5)}),),
    ),
    Case(
        "dict_input_without_the_key",
        "TakeDict",
        config("left"),
        "seen: pytorch-backend.md 5 (no count check); torch's words: ours",
        asks=(
            Ask(
                {"left": X},
                status=500,
                text=EXEC + "The following operation failed in the TorchScript interpreter.",
                begins=True,
            ),
        ),
    ),
    Case(
        "dict_of_int",
        "TakeIntDict",
        config("left"),
        "seen: pytorch-backend.md 5 (at run time); the words: read",
        asks=(
            Ask(
                {"left": X},
                status=500,
                text=EXEC + "forward() Expected a value of type 'Dict[str, int]' for argument "
                "'tensors' but instead found type 'Dict[str, Tensor]'.\nPosition: 1\nDeclaration: ",
                begins=True,
            ),
        ),
    ),
    _fails(
        "list_of_tensors_wanted",
        "TakeTensors",
        500,
        EXEC
        + "forward() Expected a value of type 'List[Tensor]' for argument 'x' but instead found "
        "type 'Tensor'.\nPosition: 1\nDeclaration: ",
        "seen: pytorch-backend.md 5 (at run time); the words: read",
        begins=True,
    ),
    _fails(
        "list_of_tensors",
        "TensorList",
        500,
        EXEC + "output must be of type Tensor or List[str], received List[Tensor]",
        "read: triton.md 2.3",
    ),
    _fails(
        "list_of_int",
        "IntList",
        500,
        EXEC + "output must be of type Tensor or List[str], received List[int]",
        "read: triton.md 2.3",
    ),
    _fails(
        "tuple_with_list",
        "TupleWithList",
        500,
        EXEC + "output at index 1 must be of type Tensor or List[str], received List[Tensor]",
        "read: triton.md 2.3",
    ),
    _fails("tuple_with_int", "TupleWithInt", 500, EXEC + "Expected Tensor but got Int", "read"),
    _fails("tuple_with_none", "TupleWithNone", 500, EXEC + "Expected Tensor but got None", "read"),
    _fails("scalar_result", "Scalar", 500, _CONTAINER, "read: triton.md 2.3"),
    _fails("dict_result", "ResultDict", 500, _CONTAINER, "read: triton.md 2.3"),
    _fails(
        "missing_output_index",
        "Double",
        400,
        "The output z__1 in the model configuration refers to an output index which doesn't exist. "
        "This model has 1 outputs",
        "seen: pytorch-backend.md 6",
        config=config("x", "y__0 z__1"),
    ),
    _fails(
        "missing_output_index_in_order_of_names",
        "Double",
        400,
        "The output b__7 in the model configuration refers to an output index which doesn't exist. "
        "This model has 1 outputs",
        "read: outputs are kept sorted by name",
        config=config("x", "c__5 b__7 a__0"),
    ),
    _fails(
        "output_type",
        "Cast",
        400,
        "configuration expects datatype TYPE_FP32 for output 'y', model provides TYPE_INT64",
        "seen: pytorch-backend.md 6",
        arguments=(torch.int64,),
    ),
    *(
        _fails(
            f"output_{dtype}".replace("torch.", ""),
            "Cast",
            400,
            "configuration expects datatype TYPE_FP32 for output 'y', model provides "
            "TYPE_<invalid>",
            "seen: pytorch-backend.md 6",
            arguments=(dtype,),
        )
        for dtype in (torch.bfloat16, torch.complex64)
    ),
    _fails(
        "tensor_where_string_is_declared",
        "Double",
        400,
        "configuration expects datatype TYPE_INT32 for output 'y', model provides TYPE_FP32",
        "seen: pytorch-backend.md 6",
        config="max_batch_size: 0\n"
        + io("input", ("x", "FP32", [2]))
        + "\n"
        + io("output", ("y", "STRING", [-1])),
    ),
    _fails(
        "zero_dim",
        "ZeroDim",
        400,
        "output 'y' is a scalar which is not supported.",
        "seen: pytorch-backend.md 6",
    ),
    _fails(
        "type_before_zero_dim",
        "ZeroDim",
        400,
        "configuration expects datatype TYPE_INT32 for output 'y', model provides TYPE_FP32",
        "read: order of the checks",
        config="max_batch_size: 0\n"
        + io("input", ("x", "FP32", [2]))
        + "\n"
        + io("output", ("y", "INT32", [1])),
    ),
    _fails(
        "index_before_type",
        "Cast",
        400,
        "The output z__1 in the model configuration refers to an output index which doesn't exist. "
        "This model has 1 outputs",
        "read: order of the checks",
        config=config("x", "a__0 z__1"),
        arguments=(torch.int64,),
    ),
    _fails("nested_tuple", "NestedTuple", 500, EXEC + "Expected Tensor but got Tuple", "read"),
    _fails(
        "none_result",
        "NoneResult",
        500,
        _CONTAINER,
        "read",
    ),
    _fails(
        "input_with_the_wrong_type_inside",
        "Embed",
        500,
        EXEC + "The following operation failed in the TorchScript interpreter.\n",
        "seen: pytorch-backend.md 6; torch's words: seen",
        begins=True,
    ),
    Case(
        "input_and_output_of_one_name",
        "Double",
        config("x", "x"),
        "seen: triton.md 0.1",
        asks=(Ask({"x": X}, {"x": X + X}),),
    ),
    Case(
        "parameter_as_result",
        "Weight",
        config(),
        "read",
        asks=(Ask({"x": X}, {"y": f32(1, 1)}),),
    ),
    Case(
        "parameter_as_result_without_inference_mode",
        "Weight",
        config(more='parameters { key: "INFERENCE_MODE" value { string_value: "false" } }'),
        "read",
        asks=(Ask({"x": X}, {"y": f32(1, 1)}),),
    ),
    Case(
        "in_place",
        "InPlace",
        config(batch=2),
        "read",
        asks=(Ask({"x": XB}, {"y": XB + 1}), Ask({"x": XB}, {"y": XB + 1})),
    ),
    _fails(
        "sparse",
        "Sparse",
        500,
        "output tensor 'y' is not found",
        "seen: pytorch-backend.md 6",
    ),
    Case(
        "not_contiguous",
        "Transposed",
        config(batch=4, dims="2 3"),
        "seen: pytorch-backend.md 6",
        asks=(
            Ask(
                {"x": np.arange(12, dtype=np.float32).reshape(2, 2, 3)},
                {"y": np.arange(12, dtype=np.float32).reshape(2, 2, 3).transpose(0, 2, 1)},
            ),
        ),
        notes="dims of an output are never checked",
    ),
    Case(
        "exception_in_the_model",
        "Raises",
        config(),
        "seen: pytorch-backend.md 6; torch's words: seen",
        asks=(
            Ask(
                {"x": -X},
                status=500,
                text=EXEC + "The following operation failed in the TorchScript interpreter.\n"
                "Traceback of TorchScript",
                begins=True,
            ),
            Ask({"x": X}, {"y": X}),
        ),
    ),
    _fails(
        "shapes_that_do_not_multiply",
        "Mismatch",
        500,
        EXEC + "The following operation failed in the TorchScript interpreter.\n",
        "seen: pytorch-backend.md 6; torch's words: seen",
        begins=True,
    ),
    Case(
        "only_requested_outputs",
        "Pair",
        config("x", "a b"),
        "seen: triton.md INF-03",
        asks=(Ask({"x": X}, {"b": X + 2}),),
    ),
    _fails(
        "outputs_nobody_asked_for_are_checked",
        "Pair",
        400,
        "configuration expects datatype TYPE_INT32 for output 'b', model provides TYPE_FP32",
        "seen: pytorch-backend.md 7",
        config="max_batch_size: 0\n"
        + io("input", ("x", "FP32", [2]))
        + "\n"
        + io("output", ("a", "FP32", [2]), ("b", "INT32", [2])),
    ),
)

BATCHING = (
    Case(
        "batch_of_two",
        "Double",
        config(batch=4),
        "seen: triton.md 2",
        asks=(Ask({"x": XB}, {"y": XB + XB}), Ask({"x": XB[:1]}, {"y": XB[:1] * 2})),
    ),
    Case(
        "too_few_rows",
        "OneRow",
        config(batch=4),
        "seen: pytorch-backend.md 6; the words: read",
        asks=(
            Ask({"x": XB[:1]}, {"y": XB[:1]}),
            Ask(
                {"x": XB},
                status=501,
                text="[request id: <id_unknown>] failed to split the output tensor 'y' in "
                "responses: expected batch size of atleast 2 in model output, got 1",
            ),
            Ask(
                {"x": XB},
                status=501,
                text="[request id: seven] failed to split the output tensor 'y' in responses: "
                "expected batch size of atleast 2 in model output, got 1",
                request_id="seven",
            ),
        ),
    ),
    Case(
        "too_many_rows",
        "ExtraRow",
        config(batch=4),
        "seen: pytorch-backend.md 7",
        asks=(Ask({"x": XB}, {"y": XB}),),
    ),
    Case(
        "too_many_rows_without_batching",
        "ExtraRow",
        config(dims="-1 2"),
        "read",
        asks=(Ask({"x": XB}, {"y": np.concatenate([XB, XB[:1]])}),),
    ),
    Case(
        "reshape",
        "Double",
        "max_batch_size: 4\n"
        + io("input", ("x", "FP32", [1], "reshape { shape: [ ] }"))
        + "\n"
        + io("output", ("y", "FP32", [1], "reshape { shape: [ ] }")),
        "seen: triton.md RSH-01",
        asks=(Ask({"x": f32([1], [2])}, {"y": f32([2], [4])}),),
    ),
    Case(
        "dims_of_one",
        "Double",
        config(batch=4, dims="1 3 1"),
        "seen: triton.md 2",
        asks=(
            Ask({"x": _CUBE}, {"y": _CUBE * 2}),
            Ask({"x": _CUBE[:1]}, {"y": _CUBE[:1] * 2}),
        ),
    ),
    Case(
        "dim_of_one_with_an_odd_stride",
        "Transposed",
        config(batch=4, dims="3 1"),
        "seen: pytorch-backend.md 6",
        asks=(
            Ask(
                {"x": np.arange(6, dtype=np.float32).reshape(2, 3, 1)},
                {"y": np.arange(6, dtype=np.float32).reshape(2, 1, 3)},
            ),
        ),
    ),
    Case(
        "empty_output",
        "NoRows",
        config(),
        "read",
        asks=(Ask({"x": X}, {"y": X[:0]}),),
    ),
    Case(
        "result_is_a_view",
        "Column",
        config(batch=4, dims="3"),
        "seen: pytorch-backend.md 6",
        asks=(
            Ask(
                {"x": np.arange(6, dtype=np.float32).reshape(2, 3)},
                {"y": np.array([[1], [4]], dtype=np.float32)},
            ),
        ),
    ),
    Case(
        "same_input_twice",
        "Subtract",
        config("left left"),
        "read: it loads, and no request can be right",
        asks=(
            Ask(
                {"left": X},
                status=400,
                text="[request id: <id_unknown>] expected 2 inputs but got 1 inputs",
                begins=True,
            ),
        ),
    ),
    Case(
        "three_versions",
        "Double",
        config(more="version_policy { all { } }"),
        "seen: triton.md MET-05",
        versions=(1, 2, 3),
        asks=(Ask({"x": X}, {"y": X + X}),),
    ),
    Case(
        "instances_of_kind_cpu",
        "Double",
        config(more="instance_group { kind: KIND_CPU count: 2 }"),
        "seen: triton.md 2",
        asks=(Ask({"x": X}, {"y": X + X}),),
    ),
    Case(
        "kind_model",
        "Double",
        config(more="instance_group { kind: KIND_MODEL }"),
        "seen: triton.md 2",
        asks=(Ask({"x": X}, {"y": X + X}),),
    ),
    Case(
        "warm_up",
        "Counter",
        config(
            more='model_warmup { name: "w" batch_size: 1 count: 3 inputs { key: "x" value '
            "{ data_type: TYPE_FP32 dims: [ 2 ] zero_data: true } } }"
        ),
        "seen: triton.md 0.8",
        asks=(Ask({"x": X}, {"y": f32(4, 4)}), Ask({"x": X}, {"y": f32(5, 5)})),
    ),
    Case(
        "backend_instead_of_platform",
        "Double",
        'backend: "pytorch"\n' + config(),
        "seen: triton.md 2.6",
        asks=(Ask({"x": X}, {"y": X + X}),),
    ),
)

#: Models whose requests meet in one batch of three; ``test_backend_batches.py`` sends them.
_THREE = "dynamic_batching { preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 2000000 }"
TOGETHER = (
    Case("together_double", "Double", config(batch=3, more=_THREE), "seen: pytorch-backend.md 7"),
    Case("together_one_row", "OneRow", config(batch=3, more=_THREE), "read: one by one"),
    Case("together_raises", "Raises", config(batch=3, more=_THREE), "seen: pytorch-backend.md 8"),
    Case(
        "together_strings",
        "Strings",
        f"max_batch_size: 3\n{_THREE}\n"
        + io("input", ("x", "STRING", [1], "reshape { shape: [ ] }"))
        + "\n"
        + io("output", ("y", "STRING", [1], "reshape { shape: [ ] }")),
        "ours: the C++ backend gives everybody the first strings (pytorch-backend.md 9)",
        strings=True,
    ),
    Case(
        "together_subtract",
        "Subtract",
        config("left right", batch=3, more=_THREE),
        "seen: pytorch-backend.md 7",
    ),
    Case(
        "decoupled",
        "Double",
        config(more="model_transaction_policy { decoupled: true }"),
        "read: the C++ backend sends one final response",
    ),
)
