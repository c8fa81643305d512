"""Modules whose arguments are followed. A file of its own: torch reads their source."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Layers(nn.Module):
    """Linear layers below two modules, the first behind an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.reshape(1, 1, 4))


class Normalised(nn.Module):
    """Numbers of an image, made floating-point on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer((x / 255 - 0.5) * 2)


class Product(nn.Module):
    """The weight is the first operand, and its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.t() @ x.t()


class Second(nn.Module):
    """Of two arguments, the other one only becomes integers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 4)
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, values: Tensor) -> Tensor:
        return self.table(x.argmax(-1)) + self.layer(values)


class Converting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.to(self.layer.weight.dtype))


class ConvertingInBranch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != self.layer.weight.dtype:
            x = x.to(self.layer.weight.dtype)
        return self.layer(x)


class Ids(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 4)
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.table(x.long()))


class Mixed(nn.Module):
    """Two types of weights, and the input has that of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).double())


class Integers(nn.Module):
    """A product of integers beside weights that the input does not meet."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("turned", torch.ones(4, 2, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer((x @ self.turned).to(self.layer.weight.dtype))


class Replaced(nn.Module):
    """forward changes its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        self.weight = self.weight.to(x.dtype)
        return x @ self.weight


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


class Scaled(nn.Module):
    """A mean that goes through a submodule and two operators."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Sum()

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.inner(x)) * 100


class Largest(nn.Module):
    """The second of two has no dimension."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.max()


class SumOfRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=-1)


class SumReshaped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum().reshape(1)


class SumInPlace(nn.Module):
    """What has no dimension gets one, behind the back of its name."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.sum()
        y.unsqueeze_(0)
        return y


class SumOfLarge(nn.Module):
    """Only some requests get a sum."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.sum()
        if x.numel() < 100:
            y = x
        return y


class SumAdded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum() + x
