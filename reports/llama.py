"""The picture of a served Llama, out of its JSON alone: tokens a second, as bars from zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.reports.pages import environment

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 760.0, 220.0, 150.0, 14.0, 28.0, 46.0
_NAMES = {"grpc": "gRPC", "http": "generate_stream"}


@dataclass(slots=True)
class Bar:
    """One protocol at one concurrency; ``dots``: its rounds."""

    label: str
    y: float
    width: float
    end: float
    dots: list[float]
    told: str
    http: bool


@dataclass(slots=True)
class Bars:
    """A picture; ``generate`` is where generate() is on the axis."""

    width: float
    height: float
    left: float
    floor: float
    generate: float
    ticks: list[tuple[float, str]]
    bars: list[Bar]


def bars(made: Mapping[str, Any]) -> Bars:
    """Tokens a second in total of every line, on an axis that begins at zero."""
    rows = made["lines"]
    every = [value for row in rows for value in row["round_tps"]]
    most = float(max([made["generate_tps"], *every]))
    step = _step(most)

    def at(value: float) -> float:
        return round(LEFT + value / most * (WIDTH - LEFT - RIGHT), 2)

    found = []
    for number, row in enumerate(rows):
        many = f"{row['concurrency']} stream{'s' * (row['concurrency'] != 1)}"
        end, dots = at(row["tps"]), [at(value) for value in row["round_tps"]]
        found.append(
            Bar(
                f"{_NAMES[row['protocol']]}, {many}", TOP + STEP * number, end - LEFT,
                max(end, *dots), dots, f"{row['tps']:.0f}, {row['against']['mean']:.2f} ×",
                row["protocol"] == "http",
            )
        )  # fmt: skip
    floor = TOP + STEP * len(rows)
    ticks = [(at(step * n), f"{step * n:g}") for n in range(int(most / step) + 1)]
    return Bars(WIDTH, floor + BOTTOM, LEFT, floor, at(made["generate_tps"]), ticks, found)


def _step(most: float) -> float:
    """A round distance of ticks, four to eight of them."""
    size = float(10 ** (len(str(int(most))) - 1)) / 10
    return float(next(size * k for k in (1, 2, 5, 10, 20, 50) if most / (size * k) <= 8))


def page(made: Mapping[str, Any]) -> str:
    """One self-contained HTML page."""
    from pytest_triton.llama.table import ratio

    failed = [check for check in made["checks"] if check["status"] == "fail"]
    unsure = [check for check in made["checks"] if check["status"] == "inconclusive"]
    headline = (
        f"{len(failed)} of {len(made['checks'])} checks fail"
        if failed
        else f"{len(unsure)} of {len(made['checks'])} checks cannot tell"
        if unsure
        else f"all {len(made['checks'])} checks pass"
    )
    text: str = (
        environment()
        .get_template("llama.html")
        .render(
            made=made, picture=bars(made) if made["lines"] else None, headline=headline, ratio=ratio
        )
    )
    return text
