"""The arms as models of one repository; what is not possible is a result, and says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.ablating.arms import BASE, Arm, base
from pytest_triton.ablating.sources import Source
from pytest_triton.ablating.stored import copied, rewritten
from pytest_triton.errors import Misused, SubjectFault, ToolError
from pytest_triton.export.interface import Signature
from pytest_triton.repository.config import model_file_of, read_config

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """An arm with its size in bytes, or why there is none."""

    arm: Arm
    bytes: int = 0
    refused: str = ""


def build(
    source: Source, arms: Sequence[Arm], repository: Path, say: Progress
) -> tuple[Signature, list[Built]]:
    """Write ``repository``: the base and every arm. Raises ToolError where the base fails,
    Misused for two arms of one name."""
    say(f"making {BASE}: {base.title}")
    signature = source.make(base, repository / BASE)
    built = [Built(base, _size(repository / BASE))]
    for arm in arms:
        say(f"making {arm.name}: {arm.title}")
        directory = repository / arm.name
        if directory.exists():
            raise Misused(f"two arms are called {arm.name}", "leave one out")
        try:
            if arm.own_file:
                source.make(arm, directory)
            else:
                copied(repository / BASE, directory)
                config = read_config(repository / BASE)
                config.name = arm.name
                rewritten(config, directory, arm)
            built.append(Built(arm, _size(directory)))
        except Exception as error:  # torch raises what it likes
            shutil.rmtree(directory, ignore_errors=True)
            built.append(Built(arm, refused=why(error)))
    return signature, built


def why(error: Exception) -> str:
    """The reason of a refusal in one line."""
    text = error.message if isinstance(error, ToolError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "TorchScript interpreter" in lines[0]:  # the reason is behind the trace
        return lines[-1][:300]
    return lines[0][:300] if isinstance(error, (ToolError, SubjectFault)) else (
        f"{type(error).__name__}: {lines[0]}"[:300]
    )  # fmt: skip


def _size(directory: Path) -> int:
    """Bytes of the model file, over all versions."""
    name = model_file_of(read_config(directory))
    return sum(path.stat().st_size for path in directory.glob(f"*/{name}"))
