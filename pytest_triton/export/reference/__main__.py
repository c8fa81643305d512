"""``python -m pytest_triton.export.reference DIRECTORY --seed N``: fill a reference repository.

Runs in a process of its own, so that the one that judges never imports torch. Prints one
JSON object per line: ``{"event": "start"|"done", "model", "version", "at", "of"}``, at the
end ``{"event": "end"}``; an error is ``{"event": "error", "message", "remedy"}``, status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.export.reference import MODELS, reference_model
from pytest_triton.repository.sidecar import write_record


def main() -> int:
    """Export every model into ``DIRECTORY/<model>/<version>/``."""
    parser = argparse.ArgumentParser(prog="pytest_triton.export.reference")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    # Lines go to the parent; what libraries print must not get in between.
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**event: Any) -> None:
        print(json.dumps(event), file=report)

    work = [(name, version) for name in MODELS for version in reference_model(name).VERSIONS]
    try:
        import torch

        torch.set_num_threads(1)  # the same sums on every machine
        for at, (name, version) in enumerate(work, start=1):
            say(event="start", model=name, version=version, at=at, of=len(work))
            directory = options.directory / name / str(version)
            directory.mkdir(parents=True, exist_ok=True)
            record = reference_model(name).export(directory, version, options.seed)
            record = replace(record, model=name, version=version)
            write_record(directory, record)
            say(event="done", model=name, version=version, at=at, of=len(work))
    except ToolError as error:
        say(event="error", message=error.message, remedy=error.remedy)
        return 1
    except ImportError as error:
        remedy = "pip install 'pytest-triton[lab]'"
        say(
            event="error", message=f"the reference models need {error.name}: {error}", remedy=remedy
        )
        return 1
    say(event="end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
