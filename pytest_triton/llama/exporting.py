"""The process that exports: an order as JSON on standard input, model.pt and side-car out."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> int:
    """Export, or say on standard error in one line why not."""
    from pytest_triton.errors import ToolError
    from pytest_triton.export.huggingface import export_huggingface
    from pytest_triton.llama.served.llama_weights import build

    order = json.load(sys.stdin)
    model = build(
        order["config"], weights=order["weights"], seed=order["seed"], dtype=order["dtype"],
        device=order["device"], threads=order["threads"],
    )  # fmt: skip
    try:
        export_huggingface(
            model, path=Path(order["path"]), task="causal-lm", positions="last",
            max_length=order["length"], max_batch_size=order["batch"], seed=order["seed"],
        )  # fmt: skip
    except ToolError as error:
        print(f"{error.message} ({error.remedy})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
