"""Dashboards of several schemas, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.monitor import dashboard
from pytest_triton.monitor.dashboard import Dashboard, read_dashboard
from pytest_triton.monitor.yamls import Unreadable

RATE = "sum(rate(nv_inference_request_success[5m]))"


def _read(tmp_path: Path, document: Any) -> Dashboard:
    path = tmp_path / "dashboard.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_dashboard(path)


def _panel(title: str, expr: str = RATE, **more: Any) -> dict[str, Any]:
    return {"type": "timeseries", "title": title, "targets": [{"expr": expr, "refId": "A"}], **more}


def test_rows_of_schema_14_to_16(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        {
            "schemaVersion": 16,
            "title": "old",
            "rows": [
                {
                    "panels": [
                        _panel("one", type="graph", yaxes=[{"format": "ms"}, {"format": "s"}])
                    ]
                },
                {"panels": [_panel("two", type="singlestat", format="percentunit")]},
            ],
        },
    )
    assert [(panel.title, target.unit) for panel, target in found.targets] == [
        ("one", "ms"),
        ("two", "percentunit"),
    ]
    assert [panel.moment for panel in found.panels] == [False, True]


def test_string_data_sources_and_collapsed_rows(tmp_path: Path) -> None:
    row = {"type": "row", "title": "row", "panels": [_panel("inner", datasource="Prometheus")]}
    found = _read(
        tmp_path,
        {"schemaVersion": 19, "panels": [row, _panel("outer", datasource="${DS_PROMETHEUS}")]},
    )
    told = [(panel.title, target.source, target.kind) for panel, target in found.targets]
    assert told == [("inner", "Prometheus", ""), ("outer", "${DS_PROMETHEUS}", "")]


def test_objects_of_schema_38(tmp_path: Path) -> None:
    panel = _panel(
        "p", datasource={"type": "prometheus", "uid": "abc"},
        fieldConfig={"defaults": {"unit": "s"}, "overrides": [
            {"matcher": {"id": "byFrameRefID", "options": "B"},
             "properties": [{"id": "unit", "value": "ms"}]}]},
    )  # fmt: skip
    panel["targets"] += [
        {"expr": RATE, "refId": "B", "datasource": {"type": "loki", "uid": "x"}},
        {"expr": RATE, "refId": "C", "hide": True},
        {"expression": "$A + 1", "refId": "D", "datasource": {"type": "__expr__"}},
    ]
    found = _read(tmp_path, {"schemaVersion": 38, "panels": [panel]})
    assert [(t.ref, t.unit, t.source, t.kind) for _, t in found.targets] == [
        ("A", "s", "abc", "prometheus"),
        ("B", "ms", "x", "loki"),
    ]


def test_which_unit_holds_is_not_guessed(tmp_path: Path) -> None:
    override = {
        "matcher": {"id": "byRegexp", "options": ".*"},
        "properties": [{"id": "unit", "value": "ms"}],
    }
    config = {"defaults": {"unit": "s"}, "overrides": [override]}
    found = _read(tmp_path, {"panels": [_panel("p", fieldConfig=config)]})
    assert found.targets[0][1].unit is None


@pytest.mark.parametrize("key", ["dashboard", "spec"])
def test_wrappers(tmp_path: Path, key: str) -> None:
    found = _read(tmp_path, {"meta": {}, key: {"title": "t", "panels": [_panel("p")]}})
    assert (found.title, len(found.targets)) == ("t", 1)


def test_inputs_of_an_export(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        {
            "__inputs": [
                {"name": "DS_PROMETHEUS", "type": "datasource", "pluginId": "prometheus"},
                {"name": "VAR_JOB", "type": "constant", "value": "triton"},
            ],
            "panels": [_panel("p")],
        },
    )
    assert found.inputs == {"DS_PROMETHEUS": "", "VAR_JOB": "triton"}


def test_variables(tmp_path: Path) -> None:
    listed = [
        {"name": "model", "type": "query", "query": {"query": "label_values(up, model)"},
         "includeAll": True, "allValue": ".*", "current": {"value": ["$__all"]}},
        {"name": "q", "type": "custom", "query": "half : 0.5, 0.9,a\\,b", "current": {"value": "0.9"}},
        {"name": "every", "type": "interval", "query": "1m,5m"},
        {"name": "job", "type": "constant", "query": "triton"},
        {"type": "query"},
    ]  # fmt: skip
    found = _read(tmp_path, {"panels": [], "templating": {"list": listed}})
    model, q, every, job = found.variables
    assert (model.query, model.all_value, model.many) == ("label_values(up, model)", ".*", True)
    assert (q.values, q.current) == (("0.5", "0.9", "a,b"), ("0.9",))
    assert (every.values, job.values) == (("1m", "5m"), ("triton",))


def test_a_query_has_its_line(tmp_path: Path) -> None:
    text = json.dumps({"panels": [_panel("a"), _panel("b", 'up{job="x"}')]}, indent=1)
    found = _read(tmp_path, text)
    lines = text.splitlines()
    for _, target in found.targets:
        assert json.dumps(target.expr) in lines[target.line - 1]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "no JSON: "),
        ("\x00\x01", "no JSON"),
        ("[" * 200_000, "no JSON"),
        ("1" * 5000, "no JSON|no dashboard"),
        ("[]", "is no dashboard"),
        ("null", "is no dashboard"),
        ('{"dashboard": 3}', "is no dashboard"),
        ({"apiVersion": 1, "datasources": []}, "is no dashboard"),
        ({"apiVersion": "dashboard.grafana.app/v2beta1", "spec": {"elements": {}}}, "schema v2"),
        ({"panels": [_panel("p", "x" * 5000)]}, "over 4000 characters"),
        ({"panels": [{"targets": [{"expr": "up"}] * 301}]}, "301 queries, 300 at most"),
    ],
)
def test_what_is_none(tmp_path: Path, document: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        _read(tmp_path, document)


def test_panels_nested_too_deep(tmp_path: Path) -> None:
    nested: dict[str, Any] = _panel("p")
    for _ in range(100):
        nested = {"type": "row", "panels": [nested]}
    with pytest.raises(Unreadable, match="nested too deep"):
        _read(tmp_path, nested)


def test_large_and_binary_files(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.json"
    path.write_bytes(b" " * (dashboard.MOST_BYTES + 1))
    with pytest.raises(Unreadable, match="over 4 MiB"):
        read_dashboard(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Unreadable, match="is not text in UTF-8"):
        read_dashboard(path)
    with pytest.raises(Unreadable, match="No such file"):
        read_dashboard(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    "document",
    [
        {"panels": [3, None, {"targets": 3}, {"targets": [None, {"expr": 3}, {"expr": " "}]}]},
        {"panels": [{"title": 1, "type": [], "targets": [{"expr": "up", "datasource": 7}]}]},
        {"panels": {}, "templating": 3, "__inputs": {}},
        {"panels": [{"fieldConfig": 3, "yaxes": 3, "targets": [{"expr": "up"}]}], "title": 3},
        {"panels": [{"fieldConfig": {"defaults": 3, "overrides": [{"matcher": 3, "properties": 3}]},
                     "targets": [{"expr": "up\ud800"}]}], "schemaVersion": "x"},
        {"panels": [], "templating": {"list": [{"name": "a", "type": 3, "query": 3, "current": 3}]}},
    ],
)  # fmt: skip
def test_nonsense_is_no_traceback(tmp_path: Path, document: Any) -> None:
    for panel, target in _read(tmp_path, document).targets:
        assert panel.title
        assert target.expr.encode()
