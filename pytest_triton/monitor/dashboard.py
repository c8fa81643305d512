"""Grafana dashboards that somebody hands in: panels, queries and variables of any schema since 16.

Read are the JSON that Grafana exports (also "for sharing externally", with ``__inputs``), what its
HTTP API answers (``{"dashboard": …}``), and a Kubernetes resource around either (``spec``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.monitor.yamls import Unreadable, mappings

MOST_BYTES, MOST_TARGETS, MOST_EXPR, MOST_DEPTH = 4 << 20, 300, 4000, 60
#: Panels that show no query of their own.
_SILENT = frozenset({"row", "text", "dashlist", "news", "welcome", "alertlist", "annolist"})
#: Panels of one moment: a total since the start may stand there.
_MOMENTS = frozenset({"stat", "singlestat", "gauge", "bargauge", "table", "table-old"})
_OLDEST_API = "dashboard.grafana.app/v2"


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel. ``unit`` "" where none is set, None where nobody can say which holds."""

    expr: str
    ref: str
    legend: str
    unit: str | None
    line: int
    instant: bool = False
    #: uid or name of its data source, "" the default one; ``kind`` "prometheus", "loki", … or "".
    source: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """What draws: ``moment`` for one that shows a single value instead of a line."""

    title: str
    kind: str
    description: str
    targets: tuple[Target, ...]
    #: Whether what is drawn is computed of the queries first (transformations).
    computed: bool = False

    @property
    def moment(self) -> bool:
        return self.kind in _MOMENTS


@dataclass(frozen=True, slots=True)
class Variable:
    """One of ``templating.list``; ``values`` as they are written (custom, constant, interval)."""

    name: str
    kind: str
    query: str
    regex: str = ""
    values: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    all_value: str = ""
    many: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A whole dashboard; ``inputs`` are what an import would ask for, with the values it proposes."""

    path: Path
    title: str
    schema: int
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> list[tuple[Panel, Target]]:
        return [(panel, target) for panel in self.panels for target in panel.targets]


def read_dashboard(path: Path) -> Dashboard:
    """Read a file. Raises Unreadable."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Unreadable(path, f"over {MOST_BYTES >> 20} MiB")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Unreadable(path, error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise Unreadable(path, "is not text in UTF-8") from None
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(path, f"no JSON: {error.msg}", error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise Unreadable(path, f"no JSON: {str(error)[:200]}") from None
    return _dashboard(path, _unwrapped(path, document), _Lines(text))


def _unwrapped(path: Path, document: Any) -> dict[str, Any]:
    for _ in range(3):
        if not isinstance(document, dict):
            break
        if str(document.get("apiVersion", "")).startswith(_OLDEST_API):
            raise Unreadable(path, "is of the schema v2: export it as a classic dashboard")
        if "panels" in document or "rows" in document:
            return document
        document = document.get("dashboard", document.get("spec"))
    raise Unreadable(path, "is no dashboard: it has neither panels nor rows")


class _Lines:
    """Where a text of the document stands in its file."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, value: str) -> int:
        for ascii_only in (False, True):
            written = json.dumps(value, ensure_ascii=ascii_only)
            at = self._text.find(f'"expr": {written}')
            at = at if at >= 0 else self._text.find(written)
            if at >= 0:
                return self._text.count("\n", 0, at) + 1
        return 0


def _dashboard(path: Path, document: dict[str, Any], lines: _Lines) -> Dashboard:
    entries = list(_entries(path, document, 0))
    counted = sum(len(mappings(entry.get("targets"))) for entry in entries)
    if counted > MOST_TARGETS:
        raise Unreadable(path, f"{counted} queries, {MOST_TARGETS} at most are looked at")
    panels = tuple(_panel(path, entry, lines) for entry in entries
                   if _text(entry.get("type")) not in _SILENT)  # fmt: skip
    schema = document.get("schemaVersion")
    templating = document.get("templating")
    listed = templating.get("list") if isinstance(templating, dict) else None
    variables = tuple(_variable(each) for each in mappings(listed) if _text(each.get("name")))
    inputs = {
        _text(each.get("name")): _text(each.get("value"))
        for each in mappings(document.get("__inputs"))
        if _text(each.get("name"))
    }
    return Dashboard(path, _text(document.get("title")) or path.stem,
                     schema if isinstance(schema, int) else 0, panels, variables, inputs)  # fmt: skip


def _entries(path: Path, holder: Mapping[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """Panels in order, those of rows behind their row."""
    if depth > MOST_DEPTH:
        raise Unreadable(path, "panels are nested too deep")
    for entry in mappings(holder.get("panels")):
        yield entry
        yield from _entries(path, entry, depth + 1)
    for row in mappings(holder.get("rows")):
        yield from _entries(path, row, depth + 1)


def _panel(path: Path, entry: dict[str, Any], lines: _Lines) -> Panel:
    found = []
    for target in mappings(entry.get("targets")):
        expr = _text(target.get("expr"))
        if not expr.strip() or target.get("hide") is True:
            continue
        if len(expr) > MOST_EXPR:
            raise Unreadable(path, f"a query of over {MOST_EXPR} characters", lines.of(expr))
        ref = _text(target.get("refId"))
        source, kind = _source(target.get("datasource") or entry.get("datasource"))
        found.append(
            Target(expr, ref, _text(target.get("legendFormat")), _unit(entry, ref), lines.of(expr),
                   target.get("instant") is True, source, kind)
        )  # fmt: skip
    computed = any(
        _text(each.get("id")) not in ("organize", "merge", "sortBy", "filterByRefId", "limit")
        for each in mappings(entry.get("transformations"))
    )
    return Panel(_text(entry.get("title")) or "(no title)", _text(entry.get("type")),
                 _text(entry.get("description")), tuple(found), computed)  # fmt: skip


def _source(told: Any) -> tuple[str, str]:
    """(uid or name, type) of a data source: a name up to schema 32, an object since."""
    if isinstance(told, dict):
        uid = _text(told.get("uid"))
        return ("" if uid == "default" else uid), _text(told.get("type"))
    name = _text(told)
    return ("" if name in ("default", "-- Mixed --") else name), ""


def _unit(entry: Mapping[str, Any], ref: str) -> str | None:
    """Of fieldConfig, else of the old graph's left axis or a single stat's format."""
    config = entry.get("fieldConfig")
    if isinstance(config, dict):
        own, other = "", False
        for override in mappings(config.get("overrides")):
            for each in mappings(override.get("properties")):
                if each.get("id") != "unit":
                    continue
                matcher = override.get("matcher")
                if isinstance(matcher, dict) and matcher.get("id") == "byFrameRefID":
                    own = _text(each.get("value")) if matcher.get("options") == ref else own
                else:
                    other = True
        if own or other:
            return own or None
        defaults = config.get("defaults")
        if isinstance(defaults, dict) and _text(defaults.get("unit")):
            return _text(defaults.get("unit"))
    axes = mappings(entry.get("yaxes"))
    if any(each.get("yaxis") == 2 for each in mappings(entry.get("seriesOverrides"))):
        return None
    return _text(axes[0].get("format")) if axes else _text(entry.get("format"))


def _variable(entry: dict[str, Any]) -> Variable:
    kind = _text(entry.get("type"))
    query = entry.get("query")
    if isinstance(query, dict):
        query = query.get("query") or query.get("expr")
    written = _text(query) or (_text(entry.get("definition")) if kind == "query" else "")
    values: tuple[str, ...] = ()
    if kind in ("custom", "interval"):
        # "label : value", separated by commas that may be escaped
        parts = [each.strip() for each in written.replace("\\,", "\0").split(",")]
        values = tuple(part.rpartition(" : ")[2].replace("\0", ",") for part in parts if part)
    elif kind in ("constant", "textbox"):
        values = (written,) if written else ()
    current = entry.get("current")
    told = current.get("value") if isinstance(current, dict) else None
    chosen = told if isinstance(told, list) else [told]
    return Variable(
        _text(entry.get("name")), kind, written, _text(entry.get("regex")), values,
        tuple(text for each in chosen if (text := _text(each))), _text(entry.get("allValue")),
        entry.get("multi") is True or entry.get("includeAll") is True,
    )  # fmt: skip


def _text(value: Any) -> str:
    """Text without halves of surrogate pairs, which JSON can write and nobody can send."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
