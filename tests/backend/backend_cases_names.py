"""Cases of names: which tensor is which argument or result of ``forward``."""

from __future__ import annotations

from backend_case import (
    EXEC,
    FALLBACK_IN,
    FALLBACK_OUT,
    INVALID,
    TWO,
    Ask,
    Case,
    Load,
    X,
    config,
    f32,
)

NAMING = (
    Case(
        "argument_names",
        "Subtract",
        config("right left"),
        "seen: triton.md 2.1, pytorch-backend.md 4",
        asks=(Ask(TWO, {"y": f32(4, 5)}),),
        silent=(FALLBACK_IN,),
    ),
    Case(
        "arguments_beat_index",
        "Indexed",
        config("x__0 x__1", "y__0"),
        "seen: pytorch-backend.md 4",
        asks=(Ask({"x__0": f32(1, 2), "x__1": f32(5, 7)}, {"y__0": f32(4, 5)}),),
    ),
    Case(
        "index_names",
        "Subtract",
        config("b__1 a__0", "OUTPUT__0"),
        "read: triton.md 2.1",
        asks=(Ask({"a__0": f32(5, 7), "b__1": f32(1, 2)}, {"OUTPUT__0": f32(4, 5)}),),
    ),
    Case(
        "index_without_digits_is_0",
        "Subtract",
        config("b__1 a__", "OUTPUT__"),
        "seen: pytorch-backend.md 4",
        asks=(Ask({"a__": f32(5, 7), "b__1": f32(1, 2)}, {"OUTPUT__": f32(4, 5)}),),
    ),
    Case(
        "order_without_underscores_is_silent",
        "Subtract",
        config("one two"),
        "read: triton.md 2.1",
        asks=(Ask({"one": f32(5, 7), "two": f32(1, 2)}, {"y": f32(4, 5)}),),
        silent=(FALLBACK_IN, FALLBACK_OUT),
    ),
    Case(
        "one_name_out_of_line_demotes_all",
        "Subtract",
        config("a__1 a__mask__0", "y__a"),
        "seen: pytorch-backend.md 4",
        asks=(Ask({"a__1": f32(5, 7), "a__mask__0": f32(1, 2)}, {"y__a": f32(4, 5)}),),
        logs=(f"input 'a__mask__0' {FALLBACK_IN}", f"output 'y__a' {FALLBACK_OUT}"),
    ),
    Case(
        "argument_and_index_mixed_is_order",
        "Subtract",
        config("right__1 left"),
        "read: triton.md 2.1",
        asks=(Ask({"right__1": f32(5, 7), "left": f32(1, 2)}, {"y": f32(4, 5)}),),
    ),
    Case(
        "keyword_only",
        "KeywordOnly",
        config("right left"),
        "seen: pytorch-backend.md 4",
        asks=(Ask(TWO, {"y": f32(4, 5)}),),
    ),
    Case(
        "outputs_by_index",
        "Pair",
        config("x", "b__1 a__0"),
        "read: triton.md 2.1",
        asks=(Ask({"x": X}, {"a__0": X + 1, "b__1": X + 2}),),
    ),
    Case(
        "outputs_by_order",
        "NamedPair",
        config("x", "b a"),
        "read: triton.md 2.1",
        asks=(Ask({"x": X}, {"b": X + 1, "a": X + 2}),),
    ),
    Case(
        "same_index_twice",
        "Subtract",
        config("a__0 b__0"),
        "read: the second value stays None",
        asks=(
            Ask(
                {"a__0": X, "b__0": X},
                status=500,
                text=EXEC + "forward() Expected a value of type 'Tensor' for argument 'right' but "
                "instead found type 'NoneType'.\nPosition: 2\nDeclaration: forward(",
                begins=True,
            ),
        ),
    ),
    Case(
        "index_beyond_the_arguments",
        "Double",
        config("x__5"),
        "ours: the C++ backend crashes (pytorch-backend.md 13)",
        load=Load(
            INVALID,
            "unable to load model '{model}', input 'x__5' refers to input index 5 which doesn't "
            "exist. This model has 1 inputs",
        ),
    ),
)
