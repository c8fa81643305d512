"""The process that exports: an order as JSON on standard input, model.pt and side-car out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

#: rtol, and atol as a share of the largest logit: what another order of additions changes over
#: many layers. Whether a token is another one is judged later, and strictly.
ROUNDING = {"float32": (1e-3, 2e-4), "float16": (2e-2, 2e-2), "bfloat16": (5e-2, 8e-2)}


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
    rtol, share = ROUNDING[order["dtype"]]
    try:
        export_huggingface(
            model, path=Path(order["path"]), task="causal-lm", positions="last",
            max_length=order["length"], max_batch_size=order["batch"], seed=order["seed"], rtol=rtol,
            atol=share * _largest(model, order["device"]),
        )  # fmt: skip
    except ToolError as error:
        print(f"{error.message} ({error.remedy})", file=sys.stderr)
        return 1
    return 0


def _largest(model: Any, device: str) -> float:
    import torch

    with torch.inference_mode():
        ids = torch.arange(3, 19, device=device)[None] % model.config.vocab_size
        return float(model(input_ids=ids, use_cache=False).logits.float().abs().max())


if __name__ == "__main__":
    sys.exit(main())
