"""Queries on a real Prometheus whose target is a page of ours: a Triton with known rates."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_triton.load.serverside import Reading
from pytest_triton.monitor.dashboard import read_dashboard
from pytest_triton.monitor.promql import parse
from pytest_triton.monitor.templating import builtins
from pytest_triton.monitoring import covering
from pytest_triton.monitoring.absence import TRITON, Known
from pytest_triton.monitoring.prometheus import Prometheus
from pytest_triton.monitoring.queries import Answer, answers
from pytest_triton.monitoring.showing import Shown, shown
from pytest_triton.monitoring.totals import undeclared
from pytest_triton.monitoring.variables import resolved
from pytest_triton.monitoring.watching import WINDOW_S, Span, Watched

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus")

#: Of the model under load: requests a second, µs of each, rows of an execution.
RPS, EACH_US, BATCH = 50.0, 4000.0, 5.0
OK, BAD, US = (
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_request_duration_us",
)
PER_MODEL = f"sum by (model) (rate({US}[5m])) / sum by (model) (rate({OK}[5m]))"


def _page(seconds: float) -> str:
    made = []
    for model, requests in (("mlp", RPS * seconds), ("idle", 0.0)):
        of = f'{{model="{model}",version="1"}}'
        rows: dict[str, float] = {
            OK: requests, US: requests * EACH_US, "nv_inference_count": requests,
            "nv_inference_exec_count": requests / BATCH,
            "nv_inference_queue_duration_us": requests * EACH_US / 4,
        }  # fmt: skip
        made += [f"# TYPE {name} counter\n{name}{of} {value}" for name, value in rows.items()]
        made.append(f'# TYPE {BAD} counter\n{BAD}{{model="{model}",version="1",reason="OTHER"}} 0')
        made.append(f"# TYPE nv_inference_pending_request_count gauge\n"
                    f"nv_inference_pending_request_count{of} 3")  # fmt: skip
    made.append("# TYPE nv_cpu_utilization gauge\nnv_cpu_utilization 0.5")
    # one block for each family
    blocks: dict[str, list[str]] = {}
    for entry in made:
        head, line = entry.split("\n")
        blocks.setdefault(head, []).append(line)
    return "".join(f"{head}\n" + "\n".join(lines) + "\n" for head, lines in blocks.items())


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    began = time.time()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = _page(time.time() - began).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    job = {"job_name": "triton",
           "static_configs": [{"targets": [f"127.0.0.1:{server.server_address[1]}"]}]}  # fmt: skip
    rule = {"record": "model:requests:rate5m", "expr": f"sum by (model) (rate({OK}[4s]))"}
    rules = tmp_path_factory.mktemp("rules") / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    try:
        with Prometheus(tmp_path_factory.mktemp("prometheus"), [job], rules=[rules]) as prometheus:
            prometheus.scraped(began, times=1, deadline_s=60.0)
            start = time.time()
            prometheus.scraped(start, times=15, deadline_s=60.0)
            load = Span(start, time.time())
            seconds = load.end - load.start
            count = int(RPS * seconds)
            run: Any = SimpleNamespace(
                ended_s=np.arange(1, count + 1) / RPS, doubts=(), bad=0, unread="",
                served=Reading(
                    success=count, inferences=count, request_ns=int(count * EACH_US * 1e3),
                    stages_ns={"queue": int(count * EACH_US * 250)},
                    batches={int(BATCH): count // int(BATCH)},
                ),
            )  # fmt: skip
            yield Watched(prometheus, "mlp", Span(start, start + 0.1), load, None, run)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _known(**more: Any) -> Known:
    own = [
        {name: (value,) for name, value in builtins(seconds, 15.0).items()}
        for seconds in (WINDOW_S, 3600.0)
    ]
    return Known(**{"builtins": own[0], "usual": own[1], **more})


def _answers(
    watched: Watched, tmp_path: Path, *panels: Any, variables: Any = (), known: Known | None = None
) -> list[Answer]:
    made = []
    for panel in panels:
        expr, title, unit = panel if isinstance(panel, tuple) else (panel, "P", "")
        config = {"defaults": {"unit": unit}}
        made.append({"title": title, "type": "timeseries", "fieldConfig": config,
                     "targets": [{"expr": expr, "refId": "A"}]})  # fmt: skip
    path = tmp_path / "dashboard.json"
    listed = [{"type": "query", **each} for each in variables]
    path.write_text(json.dumps({"panels": made, "templating": {"list": listed}}))
    return answers(read_dashboard(path), watched, known or _known(), 15.0)


RULES = {
    "model:requests:rate5m": parse(f"sum by (model) (rate({OK}[4s]))"),
    "model:dead:rate5m": parse("rate(nv_nothing[4s])"),
}


@pytest.mark.parametrize(
    ("expr", "verdict", "reason"),
    [
        (f"rate({OK}[5m])", "alive", ""),
        (f'rate({OK}{{instance="triton:8002", job="triton"}}[$__rate_interval])', "alive", ""),
        (f"increase({OK}[$__range]) / $__range_s", "alive", ""),
        (f"rate({OK}[$__interval])", "alive", ""),
        (f"nv_nothing or {OK}", "alive", ""),
        ("rate(nv_inference_compute_duration_us[5m])", "dead", "does not exist on this server"),
        (f'rate({OK}{{model="resnet"}}[5m])', "dead", 'model="resnet".* selects nothing'),
        (f'rate({OK}{{job="other"}}[5m])', "dead", 'job="other".* selects nothing'),
        (f"rate({BAD}[5m]) / rate({OK}[5m])", "dead", "never match: only one has reason"),
        (f"sum(rate({OK}[5m])) / on (pod) group_left () rate({OK}[5m])", "dead",
         "although each of its metrics is there|many-to-many|multiple matches"),
        (f"rate({OK}[10s])", "dead", "never holds two scrapes of 15 s"),
        (f"rate({OK}", "dead", "no PromQL"),
        (f'rate({OK}{{model="$gone"}}[5m])', "dead", r"\$gone is no variable"),
        ("nv_cpu_utilization > 90", "dead", "a share of 0..1 is never > 90"),
        ("nv_gpu_utilization > 90", "dead", "a share of 0..1 is never > 90"),
        ("nv_gpu_utilisation", "dead", "does not exist on this server"),
        ("nv_gpu_utilization", "hardware", "needs a GPU"),
        ("DCGM_FI_DEV_GPU_UTIL", "hardware", "exporter of the machine"),
        ("rate(nv_cache_num_hits_per_model[5m])", "option", "flag, a cache or a later release"),
        ('nv_inference_request_summary_us{quantile="0.9"}', "option", "flag"),
        ("nv_pinned_memory_pool_used_bytes", "option", "of release 24.01"),
        ("http_requests_total", "foreign", "not of this server"),
        ("triton:queue:ratio", "dead", "no rule that was handed in records triton:queue:ratio"),
        ("model:dead:rate5m", "dead", "nv_nothing does not exist"),
        (f"rate({BAD}[5m]) > 0", "idle", ""),
        (f"rate({OK}[5m] offset 1d)", "idle", ""),
        ("absent(nv_cpu_utilization)", "idle", ""),
        ("ALERTS", "foreign", ""),
        (f'{PER_MODEL} and on (model) {OK}{{model="idle"}}', "idle", ""),
    ],
)  # fmt: skip
def test_verdicts(watched: Watched, tmp_path: Path, expr: str, verdict: str, reason: str) -> None:
    (answer,) = _answers(watched, tmp_path, expr, known=_known(recorded=RULES))
    assert answer.verdict == verdict, answer.reason
    assert re.search(reason, answer.reason), answer.reason


def test_labels_that_a_discovery_gives_are_left_open(watched: Watched, tmp_path: Path) -> None:
    expr = f'rate({OK}{{namespace="ml", model="mlp"}}[5m])'
    assert _answers(watched, tmp_path, expr)[0].verdict == "dead"
    assert _answers(watched, tmp_path, expr, known=_known(kept=TRITON))[0].verdict == "alive"


def test_variables(watched: Watched, tmp_path: Path) -> None:
    variables = [
        {"name": "model", "query": f'label_values({OK}{{job="$job"}}, model)'},
        {"name": "job", "query": "label_values(up, job)"},
        {"name": "found", "query": f"query_result({OK})", "regex": '/model="([^"]+)"/'},
        {"name": "gone", "query": "label_values(nv_nothing, model)"},
        {"name": "none", "query": f"label_values({OK}, model)", "regex": "/resnet/"},
        {"name": "gpu", "query": "label_values(nv_gpu_utilization, gpu_uuid)"},
        {"name": "loop", "query": "label_values(up{a='$loop'}, job)"},
        {"name": "bad", "query": "label_values(up{, job)"},
    ]
    path = tmp_path / "dashboard.json"
    listed = [{"type": "query", **each} for each in variables]
    path.write_text(json.dumps({"panels": [], "templating": {"list": listed}}))
    found = resolved(read_dashboard(path), watched.prometheus, _known(), ("mlp",))
    assert found["model"].values == ("mlp", "idle")
    assert found["job"].values == ("triton",)
    assert set(found["found"].values) == {"mlp", "idle"}
    assert found["gpu"].values == (".*",)
    told = {name: value.empty.reason for name, value in found.items() if value.empty}
    assert set(told) == {"gone", "none", "loop", "bad"}
    assert "nv_nothing does not exist" in told["gone"]
    assert "/resnet/ keeps none of idle, mlp" in told["none"]
    (answer,) = _answers(
        watched, tmp_path, f'rate({OK}{{model=~"$gone"}}[5m])', variables=variables
    )
    assert (answer.verdict, "nv_nothing" in answer.reason) == ("dead", True)


def test_totals(watched: Watched, tmp_path: Path) -> None:
    raw, declared = _answers(watched, tmp_path, OK, (OK, "Requests, total", ""))
    assert "without rate() or increase()" in undeclared(raw)
    assert not undeclared(declared)


def _shown(watched: Watched, tmp_path: Path, expr: str, unit: str = "") -> Shown | None:
    known = _known(recorded=RULES)
    (answer,) = _answers(watched, tmp_path, (expr, "P", unit), known=known)
    return shown(answer, watched, known)


@pytest.mark.parametrize(
    ("expr", "unit", "value"),
    [
        (f"sum(rate({OK}[5m]))", "reqps", RPS),
        (f"sum(rate({OK}[5m])) * 60", "rpm", 60 * RPS),
        ("model:requests:rate5m", "", RPS),
        (PER_MODEL, "µs", EACH_US),
        (f"{PER_MODEL} / 1e6", "s", EACH_US / 1e6),
        (f"{PER_MODEL} / 1000", "", EACH_US / 1e3),
        (PER_MODEL.replace("request_duration", "queue_duration"), "µs", EACH_US / 4),
        ("rate(nv_inference_count[5m]) / rate(nv_inference_exec_count[5m])", "", BATCH),
        (f"sum(rate({BAD}[5m])) / (sum(rate({OK}[5m])) + sum(rate({BAD}[5m])))", "percentunit", 0),
    ],
)
def test_right(watched: Watched, tmp_path: Path, expr: str, unit: str, value: float) -> None:
    found = _shown(watched, tmp_path, expr, unit)
    assert found is not None
    assert (found.wrong, found.open) == ((), "")
    assert found.value == pytest.approx(value, rel=0.1)
    assert found.expected == pytest.approx(value, rel=0.1)


@pytest.mark.parametrize(
    ("expr", "unit", "wrong"),
    [
        (f"sum(rate({OK}[5m])) / 2", "reqps", "0.5 times|shows .* were counted by the client"),
        (PER_MODEL, "ms", "shows µs as ms: 1,000 times too much: shows"),
        (f"{PER_MODEL} * 1.5", "µs", r"shows .* µs, .* were told by the server"),
        ("100 * nv_cpu_utilization", "percentunit", "shows percent as percentunit"),
        ("rate(nv_inference_count[5m]) / rate(nv_inference_exec_count[5m]) * 2", "", "shows"),
    ],
)
def test_wrong(watched: Watched, tmp_path: Path, expr: str, unit: str, wrong: str) -> None:
    found = _shown(watched, tmp_path, expr, unit)
    assert found is not None
    assert re.search(wrong, "; ".join(found.wrong))


@pytest.mark.parametrize(
    ("expr", "unit"),
    [
        (f"avg(rate({OK}[5m]))", "reqps"),
        ("avg_over_time(nv_cpu_utilization[5m])", "percentunit"),
        (f"topk(1, {PER_MODEL} * 1.5)", "µs"),
        (f"{PER_MODEL} * 1.01", "µs"),
        (f'sum(rate({OK}{{model="idle"}}[5m]))', "reqps"),
        (f'sum(rate({OK}{{model!~"ml.*"}}[5m]))', "reqps"),
        (f'sum(rate({OK}{{version="2"}}[5m])) or sum(rate({OK}{{version="1"}}[5m])) / 2', "reqps"),
        (f"sum(irate({OK}[5m]))", "reqps"),
    ],
)
def test_averages_and_the_like_are_not_called_wrong(
    watched: Watched, tmp_path: Path, expr: str, unit: str
) -> None:
    found = _shown(watched, tmp_path, expr, unit)
    assert found is None or found.wrong == ()


def test_others_use_the_server_too(watched: Watched, tmp_path: Path) -> None:
    run: Any = SimpleNamespace(**{**vars(watched.run), "ended_s": watched.run.ended_s[::2]})
    other = Watched(watched.prometheus, "mlp", watched.rest, watched.load, None, run)
    found = _shown(other, tmp_path, f"sum(rate({OK}[5m]))", "reqps")
    assert found is not None
    assert not found.wrong
    assert "others use the server too" in found.open


def test_coverage(watched: Watched, tmp_path: Path) -> None:
    known = _known()
    found = _answers(
        watched, tmp_path, f"sum(rate({OK}[5m]))", (PER_MODEL, "P", ""), f"sum(rate({BAD}[5m]))",
        "histogram_quantile(0.9, rate(nv_cpu_memory_used_bytes_bucket[5m]))",
    )  # fmt: skip
    missing = covering.uncovered(covering.covered(found, known))
    assert missing == [
        "no panel shows queue or batch", "no panel shows GPU or CPU", "no panel shows memory",
    ]  # fmt: skip
    assert [covering.unitless(each, known) for each in found] == [False, True, False, False]
    assert [covering.splits(each) for each in found] == [False, True, False, False]
