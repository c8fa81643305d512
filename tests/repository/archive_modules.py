"""Modules whose archives are read. A file of its own: torch reads their source."""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Untyped(nn.Module):
    def forward(self, x, y):  # type: ignore[no-untyped-def]
        return x - y


class NoArgument(nn.Module):
    def forward(self) -> Tensor:
        return torch.ones(1)


class KeywordOnly(nn.Module):
    def forward(self, left: Tensor, *, right: Tensor) -> Tensor:
        return left - right


class Defaults(nn.Module):
    def forward(
        self,
        x: Tensor,
        count: int = -3,
        scale: float = 1e-5,
        text: str = 'a "quoted" (text): [#',
        flag: bool = True,
        mask: Optional[Tensor] = None,  # noqa: UP045
        pair: tuple[int, float] = (1, 2.5),
        device: Optional[torch.device] = None,  # noqa: UP045
        limit: float = float("inf"),
    ) -> Tensor:
        if mask is not None:
            x = x * mask
        return x * count * scale + len(text) + pair[0] + limit if flag else x.to(device)


class Names(nn.Module):
    """Names that are words of TorchScript's own code."""

    def forward(self, inf: Tensor, nan: Tensor, input__0: Tensor, torch_: Tensor) -> Tensor:
        return inf + nan + input__0 + torch_


class TakesDict(nn.Module):
    def forward(self, tensors: dict[str, Tensor]) -> Tensor:
        return tensors["a"]


class TakesNested(nn.Module):
    def forward(self, x: dict[str, list[tuple[Tensor, int]]]) -> Tensor:
        return x["a"][0][0]


class TakesStrings(nn.Module):
    def forward(self, texts: list[str]) -> list[str]:
        return texts


class TakesTuple(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0] + pair[1]


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x + 1


class Single(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x,)


class Nested(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        return x, (x, [x])


class Told(NamedTuple):
    logits: Tensor
    states: list[Tensor]
    count: int


class ToldModule(nn.Module):
    def forward(self, x: Tensor) -> Told:
        return Told(x, [x], 3)


class Mapping(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"a": x, "b": x + 1}


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> None:
        return None


class Maybe(nn.Module):
    def forward(self, x: Tensor) -> Optional[Tensor]:  # noqa: UP045
        return x if x.numel() else None


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return self.layer(x) + other


class Outer(nn.Module):
    """Its own forward is not the first one in the archive."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()
        self.list = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def helper(self, x: Tensor) -> Tensor:
        return x * 2

    def forward(self, image: Tensor) -> Tensor:
        for layer in self.list:
            image = layer(image)
        return self.inner(self.helper(image), image)


@torch.jit.interface
class Scorer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class ByInterface(nn.Module):
    scorer: Scorer

    def __init__(self) -> None:
        super().__init__()
        self.scorer = Plain()

    def forward(self, features: Tensor) -> Tensor:
        return self.scorer.forward(features)


# torch wants the type itself, not its name.
ByInterface.__annotations__["scorer"] = Scorer


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
        )
        self.net.eval()
        self.net(torch.zeros(1, 3, 8, 8))

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.net(pixel_values)


class Devices(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(1, device="cpu")
        if x.numel() > 5:
            y = y.to("cuda:0")
        return x + y


class Hostile(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "/nowhere/x")
        return torch.from_file("/nowhere/y", False, 4)


class Awakened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.x, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.x = torch.from_file("/nowhere/z", False, 1)
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.x


class Other(nn.Module):
    @torch.jit.export
    def other(self, x: Tensor) -> Tensor:
        return x


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


class Custom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.archive_test.twice(x)


def function(x: Tensor, *, y: Tensor) -> Tensor:
    return x + y


class This(torch.nn.Module):
    """Without a ``self``, and with names that TorchScript keeps for itself."""

    def forward(this, input, ops, range, device):
        return input + ops + range + device
