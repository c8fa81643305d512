"""Series that a test hands to the report in one line, each with the picture that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_triton.series import INLINE, Kind, packed, size

if TYPE_CHECKING:
    from pytest_triton.load.stats import Numbers

#: Values of all series of one test that report.json itself holds.
INLINE_OF_TEST = 4 * INLINE
#: Windows of percentiles over time, and the fewest answers that a window needs.
WINDOWS, ENOUGH = 24, 40


class Charted:
    """Series of :class:`~pytest_triton.evidence.Evidence`; every number in the unit that is named.

    What is short stays in report.json, what is long goes into a compressed file beside it.
    """

    _inline = 0

    if TYPE_CHECKING:
        measure: Callable[..., None]
        attach: Callable[..., str | None]

    def keep(self, name: str, content: Any, *, in_file: bool = False) -> Any:
        """``samples`` for a measurement: the content itself, or the path of its file.

        None where nothing is written and the content is too long to be carried along.
        """
        values = size(content)
        if not in_file and values <= INLINE and self._inline + values <= INLINE_OF_TEST:
            self._inline += values
            return content
        return self.attach(f"{name}.samples.json.gz", packed(content))

    def series(
        self,
        name: str,
        unit: str,
        *,
        x: Sequence[float] | Sequence[str],
        y: Sequence[float],
        kind: Kind = "curve",
        x_name: str = "",
        x_unit: str = "",
        y_name: str = "",
        value: float | None = None,
        more: Mapping[str, tuple[str, Sequence[float]]] | None = None,
        **measured: Any,
    ) -> None:
        """``y`` in ``unit`` against ``x``: ``series("throughput", "requests/s", x=[1, 2, 4],
        y=[90, 170, 240], x_name="concurrency", more={"p95": ("ms", [11, 12, 17])})``.

        ``more``: further rows at the same ``x``, each with its unit. ``value`` is the number of
        the measurement (the largest ``y`` when left out); ``interval``, ``budget``, ``better``
        and ``margin`` as for ``measure``. Raises ValueError for rows of different lengths.
        """
        rows = [
            {"name": row, "unit": of, "y": _plain(values)}
            for row, (of, values) in (more or {}).items()
        ]
        content: dict[str, Any] = {"kind": kind, "x": _plain(x), "y": _plain(y)}
        told = {"x_name": x_name, "x_unit": x_unit, "y_name": y_name, "more": rows}
        content |= {key: item for key, item in told.items() if item}
        if any(len(row) != len(content["x"]) for row in (content["y"], *(r["y"] for r in rows))):
            raise ValueError(f"series {name!r}: every row needs a value for each of its x")
        if value is None:
            value = max(content["y"], default=float("nan"))
        self.measure(name, value, unit, samples=content, **measured)

    def pairs(self, name: str, ratios: Sequence[float], value: float, **measured: Any) -> None:
        """Ratios of interleaved pairs, in order of time, with their ``value`` (in ×)."""
        turns = list(range(1, len(ratios) + 1))
        self.series(
            name, "×", x=turns, y=ratios, kind="pairs", x_name="pair", value=value, **measured
        )

    def batches(self, executions: Mapping[int, int], name: str = "mean batch", **more: Any) -> None:
        """Executions for each batch size (``batch_stats``); the value is the mean batch in rows."""
        sizes = sorted(size for size, count in executions.items() if count)
        count = sum(executions.values())
        mean = sum(rows * executions[rows] for rows in sizes) / count if count else float("nan")
        self.series(
            name, "rows", x=sizes, y=[executions[rows] for rows in sizes], kind="batches",
            x_name="batch size", x_unit="rows", y_name="executions", value=mean, **more,
        )  # fmt: skip

    def stages(
        self,
        parts: Mapping[str, float],
        unit: str = "ms",
        name: str = "stages",
        rows: Mapping[str, Mapping[str, float]] | None = None,
        **measured: Any,
    ) -> None:
        """Where the time of a request goes, in order: ``stages({"queue": 0.4, "compute": 2.1})``.

        The value is their sum. ``rows`` are more of the same by name, one for each concurrency;
        ``y_name`` then names the first.
        """
        labels = list(parts)
        more = {
            row: (unit, [of.get(label, 0.0) for label in labels])
            for row, of in (rows or {}).items()
        }
        self.series(
            name, unit, x=labels, y=list(parts.values()), kind="stages",
            value=sum(parts.values()), more=more, **measured,
        )  # fmt: skip

    def matrix(
        self, columns: Sequence[str], rows: Mapping[str, Sequence[int]], name: str, value: float,
        unit: str, **measured: Any,
    ) -> None:  # fmt: skip
        """What each row does in each column, as places in :data:`pytest_triton.series.GRID`."""
        (first, cells), *others = rows.items()
        more = {row: (unit, list(of)) for row, of in others}
        self.series(
            name, unit, x=list(columns), y=list(cells), kind="matrix", y_name=first, more=more,
            value=value, **measured,
        )  # fmt: skip

    def waterfall(
        self, name: str, rows: Sequence[tuple[str, float, float]], unit: str = "ms", **measured: Any
    ) -> None:
        """Spans of time below each other: what each is, where it begins, how long it lasts.

        ``waterfall("a request", [("queue", 0.0, 3.1), ("compute", 3.1, 9.0)])``; the value is
        where the last one ends.
        """
        self.series(
            name, unit, x=[label for label, _, _ in rows], y=[lasts for _, _, lasts in rows],
            kind="waterfall", value=max((begin + lasts for _, begin, lasts in rows), default=0.0),
            more={"begin": (unit, [begin for _, begin, _ in rows])}, better="none", **measured,
        )  # fmt: skip

    def latency(
        self,
        latencies_ms: Numbers,
        *,
        ended_s: Numbers | None = None,
        budgets: Mapping[str, float] | None = None,
        name: str = "",
    ) -> None:
        """Latencies in ms as p50, p95 and p99 with intervals, their distribution, and, where it
        is known when each ended (s), percentiles of windows over time.

        ``budgets`` by percentile: ``{"p95": 20}``. ``name`` goes before each of them.
        """
        import numpy as np

        from pytest_triton.baseline.statistic import interval_of
        from pytest_triton.load.stats import percentile

        values = np.asarray(latencies_ms, dtype=np.float64)
        ended = None if ended_s is None else np.asarray(ended_s, dtype=np.float64)
        if ended is not None:
            order = np.argsort(ended, kind="stable")
            values, ended = values[order], ended[order]
        prefix = f"{name} " if name else ""
        kept = self.keep(f"{prefix}latency", values.round(4).tolist(), in_file=True)
        for q in (50, 95, 99):
            value, budget = percentile(values, q), (budgets or {}).get(f"p{q}")
            self.measure(
                f"{prefix}p{q}", value, "ms", statistic=f"p{q}", kept=kept,
                interval=interval_of(values, f"p{q}") if len(values) else None, budget=budget,
                margin=None if budget is None else budget - value,
            )  # fmt: skip
        count = min(WINDOWS, len(values) // ENOUGH)
        if ended is None or count < 2:
            return
        windows = np.array_split(np.arange(len(values)), count)
        rows = {q: [percentile(values[at], q) for at in windows] for q in (50, 95)}
        self.series(
            f"{prefix}percentiles over time", "ms", x=[float(ended[at[-1]]) for at in windows],
            y=rows[50], kind="times", x_name="time", x_unit="s", y_name="p50",
            value=percentile(values, 50), more={"p95": ("ms", rows[95])}, better="none",
            budget=(budgets or {}).get("p95"),
        )  # fmt: skip


def _plain(values: Sequence[Any]) -> list[Any]:
    """Numbers of any library as JSON's."""
    return [item if isinstance(item, (str, int)) else round(float(item), 6) for item in values]
