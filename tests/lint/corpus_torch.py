"""TorchScript modules of the corpus. A file of its own: torch reads their source."""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn


class One(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Three(nn.Module):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return input_ids - attention_mask * token_type_ids


class Subtract(nn.Module):
    """Tells its arguments apart."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left - right


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x + 2


class Named(NamedTuple):
    logits: Tensor
    pooled: Tensor


class NamedPair(nn.Module):
    def forward(self, x: Tensor) -> Named:
        return Named(x + 1, x + 2)


class OptionalMask(nn.Module):
    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        return x if mask is None else x * mask


class Scaled(nn.Module):
    def forward(self, x: Tensor, factor: int = 2) -> Tensor:
        return x * factor


class FromDict(nn.Module):
    def forward(self, tensors: dict[str, Tensor]) -> Tensor:
        return tensors["left"] - tensors["right"]


class DictAndTensor(nn.Module):
    def forward(self, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
        return tensors["left"] - x


class ToDict(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x}


class ToList(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, x + 1]


class WithNumber(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x, 3


class FromList(nn.Module):
    def forward(self, parts: list[Tensor]) -> Tensor:
        return parts[0]


class Image(nn.Module):
    """Five scores of an image with three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Conv2d(3, 5, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.seen(image).mean(dim=[2, 3])


class Echo(nn.Module):
    def forward(self, texts: list[str]) -> list[str]:
        return texts


class Lengths(nn.Module):
    def forward(self, texts: list[str]) -> Tensor:
        sizes: list[int] = []
        for text in texts:
            sizes.append(len(text))
        return torch.tensor(sizes)


class NoForward(nn.Module):
    @torch.jit.export
    def other(self, x: Tensor) -> Tensor:
        return x


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x)


class Positions(nn.Module):
    """Traced, it keeps the device of its positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(4, dtype=torch.float32)


class OnGpu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(1, device="cuda:0")


class OnGpuIfLarge(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > 1_000_000:
            return x.to("cuda:0")
        return x


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 0 + self.calls


class Reader(nn.Module):
    """What it reads is a file of the machine that serves it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_file("/etc/hostname", False, 4, dtype=torch.uint8).to(torch.float32) + x


class Started(nn.Module):
    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        return x + start


class Accumulate(nn.Module):
    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return x + state, x + state


class Unannotated(nn.Module):
    """Who writes no ``self`` writes no types either."""

    def forward(net, left, right):
        return left - right


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class HalfLayers(Layers):
    """What .half() before the export leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.half()


class BFloat16Layers(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.bfloat16()


class HalfInside(HalfLayers):
    """The same, with a forward that takes FP32."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.half()).float()


class Total(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 2).sum()


class TotalAndRows(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(dim=-1, keepdim=True), x.max()
