"""The arms: the base, a control that is the base again, and one for each single change."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_triton.errors import Misused
from pytest_triton.export.variants import VariantName

BASE, CONTROL, THREADS = "base", "control", "threads"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to serve the model. ``name`` is also its name as a model of the server."""

    name: str
    #: The change in words, as a reader sees it.
    title: str
    variant: VariantName = "plain"
    #: "" as the base; "float16" and "bfloat16": weights and computation.
    dtype: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def own_file(self) -> bool:
        """Whether it has another model file than the base."""
        return self.variant != "plain" or bool(self.dtype)


base = Arm(BASE, "plain script, defaults")
control = Arm(CONTROL, "the base once more (A/A)")
_FILES = (
    Arm("frozen", "torch.jit.freeze", variant="frozen"),
    Arm("optimized", "optimize_for_inference", variant="optimized"),
    Arm("float16", "float16 weights", dtype="float16"),
    Arm("bfloat16", "bfloat16 weights", dtype="bfloat16"),
)
_SETTINGS = (
    Arm("no_inference_mode", "INFERENCE_MODE=false", parameters={"INFERENCE_MODE": "false"}),
    Arm(
        "no_optimized_execution", "DISABLE_OPTIMIZED_EXECUTION=true",
        parameters={"DISABLE_OPTIMIZED_EXECUTION": "true"},
    ),
)  # fmt: skip


def names(*, files: bool) -> tuple[str, ...]:
    """What --arms can choose from; ``files``: whether the model can be exported anew."""
    return (*(arm.name for arm in _choices(files)), THREADS)


def _choices(files: bool) -> tuple[Arm, ...]:
    return (*(_FILES if files else ()), *_SETTINGS)


def arms_of(
    *,
    files: bool,
    cores: int,
    threads: Sequence[int] = (),
    wanted: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
    parameters: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Arm, ...]:
    """The arms beside the base, the control first.

    ``wanted`` chooses by name ("threads": all counts of threads). ``threads``: counts to try,
    by default 1, half of ``cores`` and all. ``parameters``: "KEY=VALUE", an arm each, whatever
    ``wanted`` says. ``given``: parameters that the base has already; an arm that would change
    nothing is left out, and ``say`` is told. Raises Misused for a name that is none.
    """
    known = names(files=files)
    if unknown := [name for name in wanted if name not in known]:
        hint = "a file can only be made anew from a directory or a --module; " * (not files)
        raise Misused(f"--arms: there is no {unknown[0]!r}", f"{hint}one of {', '.join(known)}")
    chosen = list(_choices(files))
    for count in dict.fromkeys(threads or (1, max(1, cores // 2), cores)):
        chosen.append(
            Arm(
                f"threads_{count}", f"INTRA_OP_THREAD_COUNT={count}",
                parameters={"INTRA_OP_THREAD_COUNT": str(count)},
            )
        )  # fmt: skip
    before = given or {}
    made = [
        arm
        for arm in chosen
        if not wanted or arm.name in wanted or (THREADS in wanted and arm.name.startswith(THREADS))
    ]
    made += _named([_parameter(text) for text in dict.fromkeys(parameters)])
    left = [arm for arm in made if arm.parameters and not _changes(arm, before)]
    for arm in left:
        say(f"leaving out {arm.title}: the base has it already")
    return (control, *(arm for arm in made if arm not in left))


def _named(arms: Sequence[Arm]) -> list[Arm]:
    """With names of their own: A=true and A=TRUE are two parameters, and two models."""
    made: dict[str, Arm] = {}
    for arm in arms:
        if any(arm.parameters == one.parameters for one in made.values()):
            continue
        name, count = arm.name, 1
        while name in made:
            count += 1
            name = f"{arm.name}_{count}"
        made[name] = replace(arm, name=name)
    return list(made.values())


def _changes(arm: Arm, before: Mapping[str, str]) -> bool:
    return any(before.get(key) != value for key, value in arm.parameters.items())


def _parameter(text: str) -> Arm:
    """An arm for ``KEY=VALUE``."""
    key, mark, value = (part.strip() for part in text.partition("="))
    if not mark or not re.fullmatch(r"[A-Za-z_]\w*", key):
        raise Misused(
            f"--parameter {text!r} is not KEY=VALUE",
            "for example  --parameter INTER_OP_THREAD_COUNT=1",
        )
    name = re.sub(r"\W+", "_", f"set_{key}_{value}").lower()
    return Arm(name, f"{key}={value}", parameters={key: value})
