"""The reference: the same weights in a process of its own, asked by transformers' generate().

Its owner asks over a pipe; numbers and token ids travel, no code. It ends with its owner.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.export.child import Arrays, Child, answer_with, told_of
from pytest_triton.llama.architecture import Llama

#: Seconds for the import of transformers and the loading of weights.
LOADING = 900.0
#: Best tokens of a position that are told, at most. Of random weights of Llama-2's shape in BF16
#: about eight lie within the bound of a tie.
_NEXT = 128
#: Seconds for each token that generate() makes, at most, and for the rest of a question.
_TOKEN, _QUESTION = 5.0, 120.0


@dataclass(frozen=True, slots=True)
class Greedy:
    """What generate() answers to one prompt.

    ``tokens`` [n]; ``behind`` [n]: how far the logits of the next best tokens are below that of
    each token; ``noise``: by how much that changes for the second best, at most, when the same
    text is computed at once and not token by token; ``scale``: the largest logit.
    """

    tokens: tuple[int, ...]
    behind: tuple[Mapping[int, float], ...]
    noise: float = 0.0
    scale: float = 0.0

    def part(self, start: int, stop: int | None = None) -> Greedy:
        """As if only these tokens had been asked for."""
        return Greedy(self.tokens[start:stop], self.behind[start:stop], self.noise, self.scale)

    def below(self, at: int, token: int) -> float:
        """How far the logit of ``token`` is below the best one, at least."""
        near = self.behind[at]
        return near[token] if token in near else max(near.values())


class Reference(Child):
    """``LlamaForCausalLM.generate`` with the weights of ``llama``, as a context manager.

    Raises ToolError where it does not load, ends, or does not answer in time.
    """

    def __init__(self, llama: Llama) -> None:
        super().__init__(
            (sys.executable, "-m", "pytest_triton.llama.reference"), llama.order(),
            loading=LOADING, name="the reference",
            late="try fewer --tokens, or a machine that is less busy",
        )  # fmt: skip

    def greedy(self, prompts: Sequence[Sequence[int]], count: int) -> list[Greedy]:
        """``count`` greedy tokens for each prompt, one prompt after the other.

        The end-of-sequence token ends nothing: every answer has ``count`` tokens.
        """
        found = []
        for prompt in prompts:
            _, arrays = self.ask(
                {"do": "greedy", "count": count},
                {"prompt": np.array(prompt, np.int64)},
                _QUESTION + _TOKEN * count,
            )
            tokens = arrays["tokens"].tolist()
            if len(tokens) != count:
                raise ToolError(f"the reference gave {len(tokens)} of {count} tokens",
                                "look at the release of transformers")  # fmt: skip
            behind = tuple(
                dict(zip(row, far, strict=True))
                for row, far in zip(arrays["next"].tolist(), arrays["behind"].tolist(), strict=True)
            )
            found.append(
                Greedy(tuple(tokens), behind, float(arrays["noise"]), float(arrays["scale"]))
            )
        return found

    def speed(self, prompts: Sequence[Sequence[int]], count: int) -> float:
        """Tokens a second of generate() alone, one prompt after the other."""
        lengths = np.array([len(prompt) for prompt in prompts], np.int64)
        every = np.array([token for prompt in prompts for token in prompt], np.int64)
        told, _ = self.ask(
            {"do": "speed", "count": count}, {"prompts": every, "lengths": lengths},
            _QUESTION + _TOKEN * count * len(prompts),
        )  # fmt: skip
        return count * len(prompts) / float(told["seconds"])


class _Model:
    """The loaded model, in the reference itself."""

    def __init__(self, order: dict[str, Any]) -> None:
        import torch

        from pytest_triton.llama.served.llama_weights import build

        self.torch, self.device = torch, order["device"]
        said = ("weights", "seed", "dtype", "device", "threads")
        self.model = build(order["config"], **{name: order[name] for name in said})
        # Plain greedy, whatever a checkpoint asks for: penalties, suppressed tokens …
        self.model.generation_config = type(self.model.generation_config)()

    def _generate(self, prompt: np.ndarray[Any, Any], count: int, **more: Any) -> Any:
        ids = self.torch.from_numpy(prompt)[None].to(self.device)
        return self.model.generate(
            ids, attention_mask=self.torch.ones_like(ids), max_new_tokens=count,
            do_sample=False, num_beams=1, eos_token_id=None, pad_token_id=0, **more,
        )  # fmt: skip

    def greedy(self, prompt: np.ndarray[Any, Any], count: int) -> Arrays:
        said = self._generate(prompt, count, output_logits=True, return_dict_in_generate=True)
        every = self.torch.stack([logits[0].float() for logits in said.logits])
        best = every.topk(min(_NEXT, every.shape[-1]))
        behind = best.values[:, :1] - best.values
        with self.torch.inference_mode():
            at_once = self.model(input_ids=said.sequences, use_cache=False).logits[0].float()
        again = at_once[len(prompt) - 1 : -1].gather(1, best.indices[:, :2])
        noise = (behind[:, 1] - (again[:, 0] - again[:, 1])).abs().max()
        tokens = said.sequences[0, len(prompt) :]
        return {
            "tokens": tokens.cpu().numpy(), "next": best.indices.cpu().numpy(),
            "behind": behind.double().cpu().numpy(), "noise": np.array(float(noise)),
            "scale": np.array(float(best.values.abs().max())),
        }  # fmt: skip

    def speed(self, inputs: Arrays, count: int) -> dict[str, Any]:
        prompts = np.split(inputs["prompts"], np.cumsum(inputs["lengths"])[:-1])
        started = time.perf_counter()
        for prompt in prompts:
            self._generate(prompt, count).cpu()
        return {"seconds": time.perf_counter() - started}

    def told(self) -> dict[str, Any]:
        return told_of(self.torch, gpu=self.device == "cuda")


def main() -> int:
    """Answer on standard output until standard input ends."""
    loaded: list[_Model] = []

    def handle(order: dict[str, Any], inputs: Arrays) -> tuple[dict[str, Any], Arrays]:
        if order["do"] == "load":
            loaded[:] = [_Model(order)]
            return loaded[0].told(), {}
        (model,) = loaded
        if order["do"] == "greedy":
            return {}, model.greedy(inputs["prompt"], order["count"])
        return model.speed(inputs, order["count"]), {}

    answer_with(handle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
