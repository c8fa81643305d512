"""Cases of loading: which error a model that does not load reports."""

from __future__ import annotations

from backend_case import (
    EXEC,
    INTERNAL,
    INVALID,
    UNAVAILABLE,
    Ask,
    Case,
    Load,
    X,
    config,
    io,
    parameter,
)

LOADING = (
    Case(
        "optional_input",
        "Double",
        'max_batch_size: 0\ninput { name: "x" data_type: TYPE_FP32 dims: [ 2 ] optional: true }\n'
        + io("output", ("y", "FP32", [2]))
        + "\n"
        + parameter("INFERENCE_MODE", "nonsense"),
        "seen: pytorch-backend.md 3; before the parameters: read",
        load=Load(
            INVALID,
            "'optional' is set to true for input 'x' while the backend model doesn't support "
            "optional input",
        ),
    ),
    Case(
        "file_missing",
        "Double",
        config(),
        "read: triton.md 2.2",
        artifact="none",
        load=Load(UNAVAILABLE, "unable to find '{path}/model.pt' for model instance '{model}'"),
    ),
    Case(
        "file_named_elsewhere_missing",
        "Double",
        config(more='default_model_filename: "other.pt"'),
        "read: triton.md 2.2",
        load=Load(UNAVAILABLE, "unable to find '{path}/other.pt' for model instance '{model}'"),
    ),
    Case(
        "default_model_filename",
        "Double",
        config(more='default_model_filename: "other.pt"'),
        "read: triton.md 2.6",
        artifact="elsewhere",
        asks=(Ask({"x": X}, {"y": X + X}),),
    ),
    Case(
        "file_is_text",
        "Double",
        config(),
        "read: triton.md 2.2; torch's words: seen",
        artifact="text",
        load=Load(INTERNAL, "failed to load model '{model}': PytorchStreamReader failed", True),
    ),
    Case(
        "file_is_empty",
        "Double",
        config(),
        "read: triton.md 2.2; torch's words: seen",
        artifact="empty",
        load=Load(
            INTERNAL,
            "failed to load model '{model}': istream reader failed: getting the current position.",
            begins=True,
        ),
    ),
    Case(
        "file_is_a_state_dict",
        "Double",
        config(),
        "read: triton.md 2.2; torch's words: seen",
        artifact="state_dict",
        load=Load(
            INTERNAL,
            "failed to load model '{model}': PytorchStreamReader failed locating file "
            "constants.pkl: file not found",
            True,
        ),
    ),
    Case(
        "file_is_a_directory",
        "Double",
        config(),
        "ours: the C++ backend crashes (pytorch-backend.md 13)",
        artifact="directory",
        load=Load(INTERNAL, "failed to open/read file '{path}/model.pt': Is a directory"),
    ),
    Case(
        "no_forward",
        "NoForward",
        config(),
        "ours: the C++ backend crashes (pytorch-backend.md 13)",
        load=Load(INTERNAL, "failed to load model '{model}': ", True),
    ),
    Case(
        "too_few_inputs",
        "Subtract",
        config("left"),
        "seen: pytorch-backend.md 5",
        load=Load(
            INVALID,
            "unable to load model '{model}', configuration expects 1 inputs, model provides 2",
        ),
    ),
    Case(
        "too_many_inputs",
        "Double",
        config("x x2 x3"),
        "seen: pytorch-backend.md 5",
        load=Load(
            INVALID,
            "unable to load model '{model}', configuration expects 3 inputs, model provides 1",
        ),
    ),
    Case(
        "no_inputs_of_one",
        "Double",
        config("", "y"),
        "read: the count is checked first",
        load=Load(
            INVALID,
            "unable to load model '{model}', configuration expects 0 inputs, model provides 1",
        ),
    ),
    Case(
        "no_inputs_at_all",
        "NoInput",
        config("", "y"),
        "read: triton.md 2.2",
        load=Load(
            INTERNAL, "model configuration must contain at least one input, none were specified."
        ),
    ),
    Case(
        "no_outputs",
        "Double",
        config("x", ""),
        "read: triton.md 2.2",
        load=Load(
            INTERNAL, "model configuration must contain at least one output, none were specified."
        ),
    ),
    Case(
        "model_without_arguments",
        "NoInput",
        config("x", "y"),
        "read: the count check is skipped, every request fails",
        asks=(
            Ask(
                {"x": X},
                status=500,
                text=EXEC + "Expected at most 1 argument(s) for operator 'forward', but received "
                "2 argument(s). Declaration: forward(",
                begins=True,
            ),
        ),
    ),
    Case(
        "two_dicts",
        "TwoDicts",
        config("x", "y"),
        "read: triton.md 2.2; before the count",
        load=Load(
            INTERNAL,
            "Multiple inputs of kind DictType were detected. Only a single input of type "
            "Dict(str, Tensor) is supported.",
        ),
    ),
    Case(
        "dict_first",
        "DictFirst",
        config("x", "y"),
        "read: C++'s own form of the type",
        load=Load(
            INTERNAL,
            "An input of type 'Dict(str, Tensor)' was detected in the model. Only a single input "
            "of type Dict(str, Tensor) or input(s) of type Tensor are supported.",
        ),
    ),
    Case(
        "optional_argument",
        "OptionalInput",
        config("x mask"),
        "read: C++ prints Optional[Tensor] as Tensor?",
        load=Load(
            INTERNAL,
            "An input of type 'Tensor?' was detected in the model. Only a single input of type "
            "Dict(str, Tensor) or input(s) of type Tensor are supported.",
        ),
        notes="triton.md 2.2 writes 'Optional[Tensor]' (from reading). The source prints "
        "type()->str(); pytorch_backend pull request 50 shows 'Dict(str, Tensor)[]' that way",
    ),
    Case(
        "int_argument",
        "IntInput",
        config("x n"),
        "read: triton.md 2.2",
        load=Load(
            INTERNAL,
            "An input of type 'int' was detected in the model. Only a single input of type "
            "Dict(str, Tensor) or input(s) of type Tensor are supported.",
        ),
    ),
    *(
        Case(
            f"{kind}_type_{data_type.lower()}",
            "Double",
            "max_batch_size: 0\n"
            + io("input", ("x", data_type if kind == "input" else "FP32", [2]))
            + "\n"
            + io("output", ("y", data_type if kind == "output" else "FP32", [2])),
            "read: triton.md 2.2",
            load=Load(
                INTERNAL,
                f"unsupported datatype TYPE_{data_type} for {kind} "
                f"'{'x' if kind == 'input' else 'y'}' for model '{{model}}'",
            ),
        )
        for kind, data_type in (
            ("input", "UINT16"),
            ("input", "UINT32"),
            ("input", "BF16"),
            ("output", "UINT64"),
            ("output", "BF16"),
        )
    ),
    Case(
        "string_input_with_two_dims",
        "Strings",
        "max_batch_size: 0\n"
        + io("input", ("x", "STRING", [2, 2]))
        + "\n"
        + io("output", ("y", "STRING", [-1])),
        "read: triton.md 2.2",
        load=Load(
            INTERNAL,
            "Triton only supports 1 dimensional List of String as input for 'x' for model "
            "'{model}'",
        ),
    ),
    Case(
        "batched_string_output_without_reshape",
        "Strings",
        "max_batch_size: 4\n"
        + io("input", ("x", "STRING", [1], "reshape { shape: [ ] }"))
        + "\n"
        + io("output", ("y", "STRING", [1])),
        "seen: pytorch-backend.md 9",
        load=Load(
            INTERNAL,
            "Triton only supports 1 dimensional List of String as output for 'y' for model "
            "'{model}'",
        ),
    ),
    Case(
        "count_before_types",
        "Subtract",
        "max_batch_size: 0\n"
        + io("input", ("left", "UINT32", [2]))
        + "\n"
        + io("output", ("y", "FP32", [2])),
        "read: order of the checks",
        load=Load(
            INVALID,
            "unable to load model '{model}', configuration expects 1 inputs, model provides 2",
        ),
    ),
)
