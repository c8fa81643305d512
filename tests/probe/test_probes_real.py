"""Both probes against a real Triton: the same answers, the same errors, every type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from probe_models import TYPES

from pytest_triton.deployment import Deployment
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.requests import prepare_http
from pytest_triton.monitor.metrics import delta, scrape
from pytest_triton.probe.grpc import FINAL, GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ConnectionFailed, RequestFailed, Tensor

Probe = HttpProbe | GrpcProbe
WAYS = [{"binary": False}, {"binary": True}, {"raw": True}, {"raw": False}]

A = np.arange(8, dtype=np.int32).reshape(2, 4)
B = np.full((2, 4), 3, np.int32)
STRINGS = np.array([["plain", "été", "", b"\xff\x00\xfe"]], dtype=object)


def out(name: str) -> str:
    return "OUT" + name[2:]


def extremes() -> dict[str, np.ndarray[Any, Any]]:
    """Every type at its ends."""
    made: dict[str, np.ndarray[Any, Any]] = {"IN_BOOL": np.array([True, False])}
    for kind in TYPES[1:9]:
        info = np.iinfo(kind.lower())
        made[f"IN_{kind}"] = np.array([info.min, 0, info.max], kind.lower())
    for kind, name in (("FP16", "float16"), ("FP32", "float32"), ("FP64", "float64")):
        info = np.finfo(name)
        values = [info.min, info.max, info.tiny, -0.0, np.nan, np.inf]
        made[f"IN_{kind}"] = np.array(values, name)
    made["IN_STRING"] = STRINGS[0]
    return made


def test_health_and_metadata(probe: Probe) -> None:
    assert probe.live()
    assert probe.ready()
    assert probe.model_ready("add_sub")
    assert probe.model_ready("add_sub", "1")
    assert not probe.model_ready("add_sub", "9")
    assert not probe.model_ready("nope")
    assert probe.server_metadata()["name"] == "triton"


@pytest.mark.parametrize("model", ["all_types", "add_sub", "strings", "fails", "repeat"])
@pytest.mark.parametrize("call", ["model_metadata", "model_config", "statistics"])
def test_grpc_has_the_shape_of_http(
    http_probe: HttpProbe, grpc_probe: GrpcProbe, model: str, call: str
) -> None:
    assert getattr(http_probe, call)(model) == getattr(grpc_probe, call)(model)


def test_whole_server_calls_agree(http_probe: HttpProbe, grpc_probe: GrpcProbe) -> None:
    assert http_probe.server_metadata() == grpc_probe.server_metadata()
    by_name = {entry["name"]: entry for entry in http_probe.index()}
    assert by_name == {entry["name"]: entry for entry in grpc_probe.index(ready=True)}
    assert by_name["add_sub"] == {"name": "add_sub", "version": "1", "state": "READY"}
    assert grpc_probe.health_check() == 1


@pytest.mark.parametrize("way", ["binary", "raw"])
def test_every_type_comes_back_bit_for_bit(
    http_probe: HttpProbe, grpc_probe: GrpcProbe, way: str
) -> None:
    probe: Probe = http_probe if way == "binary" else grpc_probe
    sent = extremes()
    got = probe.infer("all_types", sent)
    assert set(got.outputs) == {out(name) for name in sent}
    for name, value in sent.items():
        back = got[out(name)]
        if name == "IN_STRING":
            assert back.tolist() == [b"plain", "été".encode(), b"", b"\xff\x00\xfe"]
        else:
            assert back.dtype == value.dtype
            assert back.tobytes() == value.tobytes()
            assert back.flags.writeable
    assert got.raw_sizes["OUT_INT64"] == 24


@pytest.mark.parametrize("way", ["json", "typed"])
def test_every_type_that_text_and_typed_fields_carry(
    http_probe: HttpProbe, grpc_probe: GrpcProbe, way: str
) -> None:
    sent = {name: value for name, value in extremes().items() if name != "IN_FP16"}
    sent["IN_STRING"] = STRINGS[0, :3]
    half = {"IN_FP16": np.ones(1, np.float16)}
    outputs = [out(name) for name in sent]
    if way == "json":
        with pytest.raises(RequestFailed, match="FP16 data via JSON is not supported"):
            http_probe.infer("all_types", {**sent, **half}, binary=False)
        return
    with pytest.raises(RequestFailed, match="FP16"):
        grpc_probe.infer("all_types", {**sent, **half}, raw=False, outputs=outputs)


@pytest.mark.parametrize(
    "options", [{"binary": False}, {"binary": True}, {"raw": True}, {"raw": False}]
)
def test_ways_to_send_agree(
    http_probe: HttpProbe, grpc_probe: GrpcProbe, options: dict[str, bool]
) -> None:
    probe: Any = http_probe if "binary" in options else grpc_probe
    got = probe.infer("add_sub", {"A": A, "B": B}, request_id="7", **options)
    assert (got.model_name, got.model_version, got.id) == ("add_sub", "1", "7")
    np.testing.assert_array_equal(got["SUM"], A + B)
    np.testing.assert_array_equal(got["DIFFERENCE"], A - B)
    assert got.datatypes == {"SUM": "INT32", "DIFFERENCE": "INT32"}
    one = probe.infer("add_sub", {"A": A, "B": B}, outputs=["DIFFERENCE"], **options)
    assert list(one.outputs) == ["DIFFERENCE"]
    with pytest.raises(KeyError, match="there are"):
        one["SUM"]


@pytest.mark.parametrize("options", [{"binary": False}, {"raw": False}])
def test_strings_in_text_and_typed_fields(
    http_probe: HttpProbe, grpc_probe: GrpcProbe, options: dict[str, bool]
) -> None:
    probe: Any = http_probe if "binary" in options else grpc_probe
    got = probe.infer("strings", {"IN": STRINGS[:, :3]}, **options)
    assert got["OUT"].tolist() == [[b"plain", "été".encode(), b""]]


def test_json_refuses_bytes_that_are_no_text(http_probe: HttpProbe) -> None:
    with pytest.raises(TypeError, match="binary=True"):
        http_probe.infer("strings", {"IN": STRINGS}, binary=False)


def test_what_the_client_says_wins_over_the_array(probe: Probe) -> None:
    with pytest.raises(RequestFailed, match="data-type is 'BF16', but model 'add_sub'"):
        probe.infer("add_sub", {"A": Tensor(A.astype(np.uint16), "BF16"), "B": B})


ERRORS = [
    ("nope", {"IN": A}, 404, "NOT_FOUND", "Request for unknown model: 'nope' is not found"),
    ("add_sub", {"A": A}, 400, "INVALID_ARGUMENT", "expected 2 inputs but got 1 inputs"),
    ("fails", {"IN": np.ones(1, np.float32)}, 500, "INTERNAL", "ValueError: it always does"),
    ("repeat", {"IN": np.ones(1, np.int32)}, 501, "UNIMPLEMENTED", "decoupled"),
]


@pytest.mark.parametrize(("model", "inputs", "http", "grpc", "text"), ERRORS)
def test_errors_carry_status_and_text(
    probe: Probe, model: str, inputs: dict[str, Any], http: int, grpc: str, text: str
) -> None:
    with pytest.raises(RequestFailed) as caught:
        probe.infer(model, inputs)
    assert caught.value.status == (http if isinstance(probe, HttpProbe) else grpc)
    assert text in caught.value.message


def test_deadline(probe: Probe) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        probe.infer("slow", {"IN": np.array([0.4], np.float32)}, timeout=0.1)
    assert caught.value.kind == "timeout"
    assert probe.live()


def test_streams(http_probe: HttpProbe, grpc_probe: GrpcProbe) -> None:
    three = {"IN": np.array([3], np.int32)}
    got = list(grpc_probe.stream_infer("repeat", three))
    assert [int(answer["OUT"][0]) for answer in got] == [0, 1, 2]
    told = {"triton_enable_empty_final_response": True}
    *answers, last = grpc_probe.stream_infer("repeat", three, parameters=told)
    assert [answer.parameters[FINAL] for answer in answers] == [False] * 3
    assert last.outputs == {}
    assert last.parameters[FINAL] is True
    assert list(grpc_probe.stream_infer("repeat", {"IN": np.array([0], np.int32)})) == []
    events = list(http_probe.generate_stream("repeat", {"IN": 3}))
    assert [event["OUT"] for event in events] == [0, 1, 2]


def test_errors_in_streams(http_probe: HttpProbe, grpc_probe: GrpcProbe) -> None:
    with pytest.raises(RequestFailed, match="a count is never negative"):
        list(grpc_probe.stream_infer("repeat", {"IN": np.array([-1], np.int32)}))
    with pytest.raises(RequestFailed) as caught:
        list(http_probe.generate_stream("repeat", {"IN": -1}))
    assert caught.value.message == "a count is never negative"
    with pytest.raises(RequestFailed, match="exactly 1 response"):
        http_probe.generate("repeat", {"IN": 2})
    assert http_probe.generate("slow", {"IN": 0.125})["OUT"] == 0.125


def test_giving_a_stream_up_leaves_the_server_well(grpc_probe: GrpcProbe) -> None:
    stream = grpc_probe.stream_infer("repeat", {"IN": np.array([50], np.int32)})
    assert int(next(stream)["OUT"][0]) == 0
    stream.close()
    assert grpc_probe.infer("add_sub", {"A": A, "B": B})["SUM"].shape == (2, 4)


def test_load_and_unload(probe: Probe) -> None:
    from pytest_triton.probe.http import wait_until

    with pytest.raises(RequestFailed, match="failed to load 'nope'"):
        probe.load("nope")
    config = probe.model_config("strings")
    probe.load("strings", config={**config, "max_batch_size": 4})
    assert probe.model_config("strings")["max_batch_size"] == 4
    probe.unload("strings")
    assert wait_until(lambda: not probe.model_ready("strings"), timeout=60)
    assert wait_until(
        lambda: next(m for m in probe.index() if m["name"] == "strings")["state"] == "UNAVAILABLE",
        timeout=60,
    )
    probe.load("strings")
    assert probe.model_config("strings")["max_batch_size"] == 8


def test_metrics_move_by_exactly_what_was_done(
    probe_server: Deployment, http_probe: HttpProbe
) -> None:
    assert probe_server.metrics_url is not None
    before = scrape(probe_server.metrics_url)
    for _ in range(3):
        http_probe.infer("add_sub", {"A": A, "B": B})
    with pytest.raises(RequestFailed):
        http_probe.infer("fails", {"IN": np.ones(1, np.float32)})
    after = scrape(probe_server.metrics_url)
    moved = delta(before, after)
    assert before.problems == after.problems == ()
    assert moved.reset == moved.gone == ()
    assert moved.value("nv_inference_request_success", model="add_sub") == 3
    assert moved.value("nv_inference_count", model="add_sub") == 6
    assert moved.value("nv_inference_request_failure", model="add_sub") == 0
    assert moved.value("nv_inference_request_failure", model="fails") == 1
    assert moved.value("nv_inference_request_failure", model="fails", reason="BACKEND") == 1
    assert not [name for name in moved.changed() if "add_sub" not in name and "fails" not in name]
    assert after.families["nv_inference_count"].type == "counter"


def test_load_is_counted_alike_by_client_and_server(
    probe_server: Deployment, http_probe: HttpProbe
) -> None:
    rng = np.random.default_rng(7)
    requests = []
    for _ in range(8):
        a, b = rng.integers(0, 99, (2, 1, 4), dtype=np.int32)
        expected = {"SUM": a + b, "DIFFERENCE": a - b}
        requests.append(prepare_http("add_sub", "", {"A": a, "B": b}, expected=expected))
    before = http_probe.statistics("add_sub")["model_stats"][0]
    run = closed_loop(
        probe_server.http_url,
        requests,
        concurrency=4,
        count=200,
        warmup_s=0.0,
        check_every=1,
        server_pids=[probe_server.pid or 0],
    )
    after = http_probe.statistics("add_sub")["model_stats"][0]
    assert run.errors == run.wrong == 0
    assert 200 <= run.requests < 204
    assert run.checked == run.requests
    done = after["inference_count"] - before["inference_count"]
    assert done == run.requests
    assert len(run.latency_us) == run.requests
    assert run.foreign_cpu >= 0
