"""A Prometheus of ours: it scrapes often, keeps little, and answers queries."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.monitoring.process import Program

#: How often it scrapes and evaluates rules. rate() needs two samples, and people use four.
SCRAPE_S = 0.5


class QueryFailed(Exception):
    """Prometheus refuses an expression; the text is its own."""


@dataclass(frozen=True, slots=True)
class Series:
    """One result: its labels, and values at times in s since the epoch."""

    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        return self.values[-1]


class Prometheus(Program):
    """``jobs`` are scrape_configs; ``rules`` files; ``alertmanager`` an address HOST:PORT."""

    program = "prometheus"

    def __init__(
        self, directory: Path, jobs: Sequence[Mapping[str, Any]], *, rules: Sequence[Path] = (),
        alertmanager: str = "", interval_s: float = SCRAPE_S,
    ) -> None:  # fmt: skip
        super().__init__(directory)
        every = f"{round(interval_s * 1000)}ms"
        config: dict[str, Any] = {
            "global": {"scrape_interval": every, "evaluation_interval": every,
                       "scrape_timeout": every},
            "scrape_configs": list(jobs),
            "rule_files": [str(path) for path in rules],
        }  # fmt: skip
        if alertmanager:
            config["alerting"] = {
                "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}],
                                   "api_version": "v2"}]
            }  # fmt: skip
        self.config = directory / "prometheus.yml"
        # JSON is YAML, and says every string as it is
        self.config.write_text(json.dumps(config, indent=1))

    def _arguments(self) -> Sequence[str]:
        return (
            f"--config.file={self.config}", f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn",
            "--rules.alert.resend-delay=1s",  # an Alertmanager is known after 5 s, not before
            "--query.timeout=5s", "--query.max-samples=5000000",
        )  # fmt: skip

    def query(self, expression: str, at: float | None = None) -> list[Series]:
        """An instant query; a scalar has no labels. Raises QueryFailed."""
        fields = {"query": expression, **({} if at is None else {"time": f"{at:.3f}"})}
        data = self._data("/api/v1/query", fields)
        if data["resultType"] in ("scalar", "string"):
            when, value = data["result"]
            return [Series({}, (float(when),), (_number(value),))]
        return [
            Series(_labels(each), (float(each["value"][0]),), (_number(each["value"][1]),))
            for each in data["result"]
            if "value" in each
        ]

    def query_range(
        self, expression: str, start: float, end: float, step_s: float = SCRAPE_S
    ) -> list[Series]:
        """Values from ``start`` to ``end``, in s since the epoch. Raises QueryFailed."""
        fields = {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}",
                  "step": f"{step_s:g}"}  # fmt: skip
        data = self._data("/api/v1/query_range", fields)
        return [
            Series(_labels(each), tuple(float(when) for when, _ in each["values"]),
                   tuple(_number(value) for _, value in each["values"]))
            for each in data["result"] if each.get("values")
        ]  # fmt: skip

    def targets(self) -> list[dict[str, Any]]:
        """Active targets: ``health``, ``lastError``, ``labels`` and more."""
        return list(self._data("/api/v1/targets", {"state": "active"})["activeTargets"])

    def rules(self) -> list[dict[str, Any]]:
        """Rules as they are evaluated: ``health``, ``lastError``, ``state``, ``alerts``."""
        groups = self._data("/api/v1/rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def names(self) -> frozenset[str]:
        """Names of all metrics that have been scraped or recorded."""
        return frozenset(self._data("/api/v1/label/__name__/values", {}))

    def types(self) -> dict[str, str]:
        """counter, gauge, … of each family that targets told."""
        told = self._data("/api/v1/metadata", {})
        return {name: str(entries[0]["type"]) for name, entries in told.items() if entries}

    def scraped(self, since: float, *, times: int = 1, deadline_s: float = 15.0) -> None:
        """Wait until every target was scraped so often after ``since`` (s since the epoch)."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            since_ms = max(round((time.time() - since) * 1000), 1)
            found = self.query(f"count_over_time(up[{since_ms}ms])")
            if found and all(each.last >= times for each in found):
                return
            time.sleep(SCRAPE_S / 5)
        raise ToolError(
            f"Prometheus did not scrape within {deadline_s:g} s: {self.last_error()}",
            f"read {self.log}",
        )

    def _data(self, path: str, fields: Mapping[str, str]) -> Any:
        answer = self.get(path, **fields)
        if answer.get("status") != "success":
            raise QueryFailed(str(answer.get("error", answer))[:400])
        return answer["data"]


def _labels(each: Mapping[str, Any]) -> dict[str, str]:
    return dict(each.get("metric") or {})


def _number(text: Any) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
