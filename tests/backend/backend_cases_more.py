"""Cases of strings, of batch inputs and outputs, and of sequences."""

from __future__ import annotations

import numpy as np
from backend_case import EXEC, INTERNAL, INVALID, Ask, Case, Load, X, config, f32, io, texts

_SCALAR = "reshape { shape: [ ] }"
_TWO = "\ndynamic_batching { preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 500000 }"
_BYTES = texts(b"plain", b"", b"\xff\xfe\x00z", "größe".encode())


def _strings(batch: int = 0, *, out: str = "STRING") -> str:
    dims, more = ([1], (_SCALAR,)) if batch else ([-1], ())
    return "\n".join(
        (
            f"max_batch_size: {batch}",
            io("input", ("x", "STRING", dims, *more)),
            io("output", ("y", out, dims, *more)),
        )
    )


STRINGS = (
    Case(
        "strings",
        "Strings",
        _strings(),
        "seen: pytorch-backend.md 9",
        asks=(
            Ask({"x": texts(b"a", b"b")}, {"y": texts(b"a", b"b")}),
            Ask({"x": _BYTES}, {"y": _BYTES}),
        ),
        strings=True,
    ),
    Case(
        "strings_batched",
        "Strings",
        _strings(4),
        "seen: pytorch-backend.md 9",
        asks=(Ask({"x": texts(b"a", b"b").reshape(2, 1)}, {"y": texts(b"a", b"b").reshape(2, 1)}),),
        strings=True,
    ),
    Case(
        "strings_as_bytes_whatever_is_declared",
        "Words",
        config(),
        "seen: pytorch-backend.md 6",
        asks=(Ask({"x": X}, {"y": texts(b"a", b"b")}),),
        strings=True,
    ),
    Case(
        "no_strings",
        "NoStrings",
        "max_batch_size: 0\n"
        + io("input", ("x", "FP32", [2]))
        + "\n"
        + io("output", ("y", "STRING", [-1])),
        "seen: pytorch-backend.md 9",
        asks=(Ask({"x": X}, {"y": texts()}),),
        strings=True,
    ),
    Case(
        "string_lengths",
        "StringLengths",
        "max_batch_size: 0\n"
        + io("input", ("x", "STRING", [-1]))
        + "\n"
        + io("output", ("y", "INT64", [-1])),
        "seen: pytorch-backend.md 9",
        asks=(Ask({"x": texts(b"\xff\x00", b"", b"abc")}, {"y": np.array([2, 0, 3])}),),
        strings=True,
    ),
    Case(
        "strings_and_tensor",
        "StringsAndTensor",
        "max_batch_size: 0\n"
        + io("input", ("x", "STRING", [-1]), ("y", "FP32", [2]))
        + "\n"
        + io("output", ("a", "STRING", [-1]), ("b", "FP32", [2])),
        "read",
        asks=(Ask({"x": _BYTES, "y": X}, {"a": _BYTES, "b": X + 1}),),
        strings=True,
    ),
    Case(
        "string_for_a_tensor",
        "Double",
        "max_batch_size: 0\n"
        + io("input", ("x", "STRING", [-1]))
        + "\n"
        + io("output", ("y", "FP32", [2])),
        "read",
        asks=(
            Ask(
                {"x": texts(b"a")},
                status=500,
                text=EXEC + "forward() Expected a value of type 'Tensor' for argument 'x' but "
                "instead found type 'List[str]'.\nPosition: 1\nDeclaration: ",
                begins=True,
            ),
        ),
        strings=True,
    ),
    Case(
        "tensor_for_strings",
        "Strings",
        config(),
        "read",
        asks=(
            Ask(
                {"x": X},
                status=500,
                text=EXEC + "forward() Expected a value of type 'List[str]' for argument 'x' but "
                "instead found type 'Tensor'.\nPosition: 1\nDeclaration: ",
                begins=True,
            ),
        ),
    ),
    Case(
        "too_few_strings",
        "FirstString",
        _strings(4),
        "ours: the C++ backend crashes (pytorch-backend.md 13)",
        asks=(
            Ask(
                {"x": texts(b"a", b"b").reshape(2, 1)},
                status=501,
                text="failed to split the output list 'y' in responses: expected batch size of "
                "atleast 2 in model output, got 1",
            ),
        ),
        strings=True,
    ),
)


def _batch_input(kind: str, data_type: str = "INT32") -> str:
    return (
        f'batch_input {{ kind: {kind} target_name: "counts" data_type: TYPE_{data_type} '
        'source_input: "values" }'
    )


RAGGED = (
    Case(
        "ragged_input",
        "Ragged",
        "max_batch_size: 8\n"
        + io("input", ("values", "FP32", [-1], "allow_ragged_batch: true"))
        + "\n"
        + io("output", ("sums", "FP32", [1]))
        + "\n"
        + _batch_input("BATCH_ACCUMULATED_ELEMENT_COUNT")
        + _TWO,
        "seen: pytorch-backend.md 12",
        asks=(Ask({"values": f32([1, 2, 3])}, {"sums": f32([6])}),),
    ),
    Case(
        "batch_input_counts_as_an_input",
        "Ragged",
        "max_batch_size: 8\n"
        + io("input", ("values", "FP32", [-1]), ("counts", "INT32", [-1]))
        + "\n"
        + io("output", ("sums", "FP32", [1]))
        + "\n"
        + _batch_input("BATCH_ELEMENT_COUNT").replace('"counts"', '"more"'),
        "read: triton.md 2.2",
        load=Load(
            INVALID,
            "unable to load model '{model}', configuration expects 3 inputs, model provides 2",
        ),
    ),
    Case(
        "scattered_output",
        "Scattered",
        "max_batch_size: 8\n"
        + io("input", ("values", "FP32", [-1], "allow_ragged_batch: true"))
        + "\n"
        + io("output", ("y", "FP32", [-1]))
        + '\nbatch_output { target_name: "y" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: '
        '"values" }' + _TWO,
        "seen: pytorch-backend.md 12",
        asks=(Ask({"values": f32([1, 2, 3])}, {"y": f32([2, 4, 6])}),),
    ),
)


def _sequence(*controls: str, state: str = "") -> str:
    return "sequence_batching { " + " ".join(controls) + " " + state + " }"


def _control(name: str, kind: str, values: str = "fp32_false_true: [ 0, 1 ]") -> str:
    return (
        f'control_input {{ name: "{name}" control {{ kind: CONTROL_SEQUENCE_{kind} {values} }} }}'
    )


_CORRID = _control("ID__2", "CORRID", "data_type: TYPE_INT64")


SEQUENCES = (
    Case(
        "controls",
        "Controls",
        config(
            "x__0",
            "y__0",
            batch=4,
            dims="1",
            more=_sequence(_control("START__1", "START"), _CORRID),
        ),
        "seen: pytorch-backend.md 11",
    ),
    Case(
        "controls_without_index",
        "Controls",
        config("x", "y", batch=4, dims="1", more=_sequence(_control("start", "START"))),
        "seen: pytorch-backend.md 11",
        load=Load(INTERNAL, "input 'start' does not follow <name>__<index> naming convention."),
    ),
    Case(
        "corrid_of_uint64",
        "Controls",
        config(
            "x__0",
            "y__0",
            batch=4,
            dims="1",
            more=_sequence(
                _control("START__1", "START"),
                _control("ID__2", "CORRID", "data_type: TYPE_UINT64"),
            ),
        ),
        "seen: pytorch-backend.md 11",
        load=Load(INTERNAL, "input 'ID__2' type 'TYPE_UINT64' is not supported by PyTorch."),
    ),
    Case(
        "controls_before_the_count",
        "Double",
        config("x y", "z", batch=4, dims="1", more=_sequence(_control("END", "END"))),
        "read: order of the checks",
        load=Load(INTERNAL, "input 'END' does not follow <name>__<index> naming convention."),
    ),
    Case(
        "implicit_state",
        "Accumulate",
        config(
            "x__0",
            "y__0",
            batch=4,
            dims="1",
            more=_sequence(
                state='state { input_name: "IN__1" output_name: "OUT__1" data_type: TYPE_FP32 '
                "dims: [ 1 ] initial_state { data_type: TYPE_FP32 dims: [ 1 ] zero_data: true "
                'name: "zero" } }'
            ),
        ),
        "seen: pytorch-backend.md 11",
    ),
    Case(
        "state_without_index_names",
        "Accumulate",
        config(
            "x",
            "y",
            batch=4,
            dims="1",
            more=_sequence(
                state='state { input_name: "IN__1" output_name: "OUT__1" data_type: TYPE_FP32 '
                "dims: [ 1 ] }"
            ),
        ),
        "seen: pytorch-backend.md 11; the words: read",
        load=Load(
            INVALID,
            "PyTorch model '{model}' is using sequence batching with state but not all inputs and "
            "outputs follow the <name>__<index> naming convention. ",
        ),
    ),
    Case(
        "state_with_another_name",
        "Accumulate",
        config(
            "x__0",
            "y__0",
            batch=4,
            dims="1",
            more=_sequence(
                state='state { input_name: "IN" output_name: "OUT__1" data_type: TYPE_FP32 '
                "dims: [ 1 ] }"
            ),
        ),
        "seen: pytorch-backend.md 11; the words: read",
        load=Load(
            INVALID,
            "PyTorch model '{model}' is using sequence batching with state but state 'IN' does not "
            "follow the <name>__<index> naming convention. ",
        ),
    ),
)
