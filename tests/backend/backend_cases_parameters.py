"""Cases of the model parameters: log lines, parsing, effect."""

from __future__ import annotations

from backend_case import INVALID, Ask, Case, Load, X, config, f32, parameter

#: The lines that every model logs, whether it has parameters or not.
ALWAYS = (
    "Optimized execution is enabled for model instance '{model}'",
    "Cache Cleaning is disabled for model instance '{model}'",
    "Inference Mode is enabled for model instance '{model}'",
    "cuDNN is enabled for model instance '{model}'",
)


def _refused(name: str, key: str, value: str, text: str, source: str, more: str = "") -> Case:
    return Case(
        name,
        "Double",
        config(more=parameter(key, value) + more),
        source,
        load=Load(INVALID, text),
    )


PARAMETERS = (
    Case(
        "no_parameters",
        "InferenceMode",
        config(),
        "seen: pytorch-backend.md 1, triton.md 2.5",
        asks=(Ask({"x": X}, {"y": f32(1, 1)}),),
        logs=ALWAYS,
        silent=(
            "Tensor fuser is enabled for model instance '{model}'",
            "Weight sharing is disabled for model instance '{model}'",
        ),
    ),
    Case(
        "all_flags",
        "Double",
        config(
            more="".join(
                parameter(key, value)
                for key, value in {
                    "DISABLE_OPTIMIZED_EXECUTION": "TRUE",
                    "ENABLE_CACHE_CLEANING": "on",
                    "INFERENCE_MODE": "1",
                    "DISABLE_CUDNN": "On",
                    "ENABLE_TENSOR_FUSER": "0",
                    "ENABLE_WEIGHT_SHARING": "Off",
                    "ENABLE_JIT_PROFILING": "false",
                    "ENABLE_JIT_EXECUTOR": "true",
                    "INTRA_OP_THREAD_COUNT": " 1x",
                    "INTER_OP_THREAD_COUNT": "+2",
                }.items()
            )
        ),
        "seen: triton.md 2.5, pytorch-backend.md 2",
        asks=(Ask({"x": X}, {"y": X + X}),),
        logs=(
            "Optimized execution is disabled for model instance '{model}'",
            "Cache Cleaning is enabled for model instance '{model}'",
            "Inference Mode is enabled for model instance '{model}'",
            "cuDNN is disabled for model instance '{model}'",
            "Tensor fuser is disabled for model instance '{model}'",
            "Weight sharing is disabled for model instance '{model}'",
            "Jit profiling is disabled for model instance '{model}'",
            "Jit executor is enabled for model instance '{model}'",
            "Intra op thread count is set to 1 for model instance '{model}'",
            "Inter op thread count is set to 2 for model instance '{model}'",
        ),
    ),
    Case(
        "inference_mode_off_keeps_gradients_off",
        "InferenceMode",
        config(more=parameter("INFERENCE_MODE", "off")),
        "seen: pytorch-backend.md 1",
        asks=(Ask({"x": X}, {"y": f32(0, 0)}),),
    ),
    Case(
        "never_eval",
        "TrainMode",
        config(),
        "seen: pytorch-backend.md 1",
        artifact="train",
        asks=(Ask({"x": X}, {"y": X + 1}),),
    ),
    Case(
        "weight_sharing_of_two_instances",
        "Double",
        config(
            more=parameter("ENABLE_WEIGHT_SHARING", "true")
            + "instance_group { kind: KIND_CPU count: 2 }"
        ),
        "ours: a process for each instance shares nothing, and says so (pytorch-backend.md 12)",
        asks=(Ask({"x": X}, {"y": X + X}),),
        logs=(
            "Weight sharing is enabled for model instance '{model}'",
            "model '{model}': every instance has a process of its own here, so "
            "ENABLE_WEIGHT_SHARING shares nothing",
        ),
    ),
    Case(
        "unknown_and_lower_case_keys",
        "Double",
        config(more=parameter("NO_SUCH_KEY", "x") + parameter("inference_mode", "x")),
        "seen: pytorch-backend.md 2",
        asks=(Ask({"x": X}, {"y": X + X}),),
        logs=ALWAYS,
    ),
    Case(
        "threads_of_zero_are_ignored",
        "Double",
        config(
            more=parameter("INTRA_OP_THREAD_COUNT", "0") + parameter("INTER_OP_THREAD_COUNT", "-3")
        ),
        "seen: pytorch-backend.md 2",
        asks=(Ask({"x": X}, {"y": X + X}),),
        silent=(
            "Intra op thread count is set to 0 for model instance '{model}'",
            "Inter op thread count is set to -3 for model instance '{model}'",
        ),
    ),
    _refused(
        "bool_yes",
        "INFERENCE_MODE",
        "yes",
        "failed to convert 'yes' to boolean",
        "seen: pytorch-backend.md 2; the words: read",
    ),
    _refused(
        "bool_empty",
        "ENABLE_WEIGHT_SHARING",
        "",
        "failed to convert '' to boolean",
        "seen: pytorch-backend.md 2; the words: read",
    ),
    _refused(
        "bool_padded",
        "DISABLE_CUDNN",
        " true",
        "failed to convert ' true' to boolean",
        "seen: pytorch-backend.md 2; the words: read",
    ),
    _refused(
        "int_words",
        "INTRA_OP_THREAD_COUNT",
        "two",
        "failed to convert 'two' to integral number",
        "seen: pytorch-backend.md 2; the words: read",
    ),
    _refused(
        "int_too_large",
        "INTER_OP_THREAD_COUNT",
        "99999999999",
        "failed to convert '99999999999' to integral number: out of range",
        "ours: the C++ backend ends the server",
    ),
    _refused(
        "absurd_thread_count",
        "INTRA_OP_THREAD_COUNT",
        "2000000",
        "failed to set 2000000 threads: at most 16384 are possible",
        "ours: the C++ backend crashes (pytorch-backend.md 13)",
    ),
    _refused(
        "first_bad_parameter_wins",
        "INTRA_OP_THREAD_COUNT",
        "two",
        "failed to convert 'maybe' to boolean",
        "seen: pytorch-backend.md 2",
        parameter("ENABLE_CACHE_CLEANING", "maybe"),
    ),
    Case(
        "parameters_before_the_file",
        "Double",
        config(more=parameter("INFERENCE_MODE", "maybe")),
        "read: order of the checks",
        artifact="none",
        load=Load(INVALID, "failed to convert 'maybe' to boolean"),
    ),
)
