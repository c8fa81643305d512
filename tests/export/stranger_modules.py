"""Modules as a stranger may have them in his repository: right ones, and hostile ones."""

from __future__ import annotations

from typing import Dict, Tuple  # noqa: UP035 (TorchScript reads annotations)

import torch
from torch import Tensor, nn


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Difference(nn.Module):
    def forward(self, one: Tensor, other: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        return one - other, other.double()


class Named(nn.Module):
    def forward(self, tensors: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        return tensors["one"] - tensors["other"]


class Answers(nn.Module):
    """NVIDIA's backend takes no dictionary for an answer."""

    def forward(self, x: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        return {"Y__0": x}


class Writing(nn.Module):
    """Leaves its input changed."""

    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return x


class Training(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2 if self.training else x


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(1)


class TwiceTheRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x])


class OnTheGpu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(3, device="cuda")


class Forks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.jit.wait(torch.jit.fork(torch.neg, x))


class Hangs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while bool(x.abs().sum() >= 0):
            x = x + 0
        return x


class Greedy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        kept = [x]
        while bool(x.abs().sum() >= 0):
            kept.append(x.sum() + torch.ones(1 << 24))
        return kept[-1]


class Reads(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_file("/etc/passwd", False, 12, dtype=torch.uint8).float()


class Writes(nn.Module):
    """Writes when it is asked. Where it cannot, torch says nothing of it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.name)
        return x


class WritesEarly(nn.Module):
    """Writes when it is loaded."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> Tuple[str, bool]:  # noqa: UP006
        return self.name, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[str, bool]) -> None:  # noqa: UP006
        self.name = state[0]
        self.training = state[1]
        torch.save(torch.ones(2), state[0])
