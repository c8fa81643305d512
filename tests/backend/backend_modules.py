"""TorchScript modules that the cases serve. A file of its own: torch reads their source."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x


class Identity(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Subtract(nn.Module):
    """Tells its arguments apart."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left - right


class Indexed(nn.Module):
    """Arguments whose names look like indices, in the other order."""

    def forward(self, x__1: Tensor, x__0: Tensor) -> Tensor:
        return x__1 - x__0


class KeywordOnly(nn.Module):
    def forward(self, left: Tensor, *, right: Tensor) -> Tensor:
        return left - right


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x + 2


class Named(NamedTuple):
    first: Tensor
    second: Tensor


class NamedPair(nn.Module):
    def forward(self, x: Tensor) -> Named:
        return Named(x + 1, x + 2)


class TensorList(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, x]


class TupleWithList(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return x, [x]


class TupleWithInt(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x, 3


class TupleWithNone(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return x, None


class IntList(nn.Module):
    def forward(self, x: Tensor) -> list[int]:
        return [1, 2]


class Scalar(nn.Module):
    def forward(self, x: Tensor) -> float:
        return 1.0


class ResultDict(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x}


class TakeDict(nn.Module):
    def forward(self, tensors: dict[str, Tensor]) -> Tensor:
        return tensors["left"] - tensors["right"]


class TakeIntDict(nn.Module):
    def forward(self, tensors: dict[str, int]) -> Tensor:
        return torch.ones(1)


class TwoDicts(nn.Module):
    def forward(self, one: dict[str, Tensor], two: dict[str, Tensor]) -> Tensor:
        return one["x"] + two["x"]


class DictFirst(nn.Module):
    def forward(self, one: dict[str, Tensor], two: Tensor) -> Tensor:
        return one["x"] + two


class OptionalInput(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x


class IntInput(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return x * n


class TakeTensors(nn.Module):
    def forward(self, x: list[Tensor]) -> Tensor:
        return x[0]


class NoInput(nn.Module):
    def forward(self) -> Tensor:
        return torch.ones(1, 2)


class Strings(nn.Module):
    def forward(self, x: list[str]) -> list[str]:
        return x


class StringsAndTensor(nn.Module):
    def forward(self, x: list[str], y: Tensor) -> tuple[list[str], Tensor]:
        return x, y + 1


class StringLengths(nn.Module):
    def forward(self, x: list[str]) -> Tensor:
        sizes: list[int] = []
        for text in x:
            sizes.append(len(text))
        return torch.tensor(sizes)


class FirstString(nn.Module):
    def forward(self, x: list[str]) -> list[str]:
        return x[:1]


class NoStrings(nn.Module):
    def forward(self, x: Tensor) -> list[str]:
        empty: list[str] = []
        return empty


class Words(nn.Module):
    def forward(self, x: Tensor) -> list[str]:
        return ["a", "b"]


class Cast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


class ZeroDim(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


class OneRow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:1]


class ExtraRow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x[:1]])


class NestedTuple(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return x, (x, x)


class NoneResult(nn.Module):
    def forward(self, x: Tensor) -> Tensor | None:
        return None


class Embed(nn.Module):
    """Wants integers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x)


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.add_(1)


class NoRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:0]


class Column(nn.Module):
    """A view with a stride of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:2]


class Sparse(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to_sparse()


class Transposed(nn.Module):
    """Its result is not contiguous."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if bool((x < 0).any()):
            raise ValueError("negative value")
        return x


class Mismatch(nn.Module):
    """Multiplies by a matrix of 3 x 2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class TrainMode(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if self.training else x


class InferenceMode(nn.Module):
    """1 where inference mode is on, 2 where gradients are."""

    def forward(self, x: Tensor) -> Tensor:
        on = 1 if x.is_inference() else 0
        return torch.full_like(x, float(on + (2 if torch.is_grad_enabled() else 0)))


class Counter(nn.Module):
    """Counts its calls: a module with state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 0 + self.calls


class Accumulate(nn.Module):
    """A state that the server keeps: result and new state are input plus state."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return x + state, x + state


class Controls(nn.Module):
    def forward(self, x: Tensor, start: Tensor, ident: Tensor) -> Tensor:
        return x + 100 * start + 1000 * ident


class Ragged(nn.Module):
    """A flat tensor and the running counts of its parts: one sum for each part."""

    def forward(self, values: Tensor, counts: Tensor) -> Tensor:
        sums: list[Tensor] = []
        start = 0
        for count in counts:
            stop = int(count)
            sums.append(values[start:stop].sum())
            start = stop
        return torch.stack(sums).unsqueeze(1)


class Scattered(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values * 2


class NoForward(nn.Module):
    @torch.jit.export
    def other(self, x: Tensor) -> Tensor:
        return x
