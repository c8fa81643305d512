"""The proxy itself: it changes nothing unless told, and then exactly what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from faulty.proxy import paths, tensors
from faulty.proxy.http import Server
from faulty.proxy.rules import Active, rule
from faulty.proxy.state import State

from pytest_triton.probe.http import HttpProbe

BODY = {"id": "7", "outputs": [{"name": "Y", "datatype": "FP32", "shape": [2, 2],
                                "data": [1.0, 2.0, 3.0, 4.0]}]}  # fmt: skip


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        asked = self.rfile.read(length)
        body = json.dumps(BODY | {"asked": asked.decode(), "path": self.path}).encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("X-Own", "kept")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Proxied:
    """A proxy, and a probe through it."""

    def __init__(self, upstream: str) -> None:
        self.state = State()
        self.server = Server("http", upstream, self.state)
        self.probe = HttpProbe(f"http://127.0.0.1:{self.server.start()}", timeout=5)

    def rules(self, *rules: dict[str, Any]) -> None:
        self.state.load([{"on": "http"} | item for item in rules])


@pytest.fixture
def proxied(upstream: str) -> Iterator[Proxied]:
    made = Proxied(upstream)
    yield made
    made.probe.close()
    made.server.shutdown()
    made.server.server_close()


def test_changes_nothing_unless_told(upstream: str, proxied: Proxied) -> None:
    direct = HttpProbe(upstream)
    for method, path, body in (("GET", "/a?b=c", None), ("POST", "/missing", b'{"x": 1}')):
        plain = direct.request(method, path, body=body)
        through = proxied.probe.request(method, path, body=body)
        assert (plain.status, plain.body) == (through.status, through.body)
        assert plain.headers["x-own"] == through.headers["x-own"] == "kept"
    direct.close()


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"set": {"id": "8"}}, ("id",), "8"),
        ({"set": {"outputs[0].new": 1}}, ("outputs", 0, "new"), 1),
        ({"add": {"outputs[name=Y].shape[0]": 3}}, ("outputs", 0, "shape", 0), 5),
        ({"tensors": {"op": "scale", "by": 2}}, ("outputs", 0, "data"), [2, 4, 6, 8]),
        ({"tensors": {"op": "reverse"}}, ("outputs", 0, "data"), [3, 4, 1, 2]),
        ({"tensors": {"short": 1}}, ("outputs", 0, "data"), [1, 2, 3]),
        ({"forward": [["old", "new"]]}, ("asked",), '{"new": 1}'),
        ({"ask": {"old": 2}}, ("asked",), '{"old": 2}'),
        ({"route": ["/infer", "/other"]}, ("path",), "/other"),
        ({"replace": [['"id": "7"', '"id": "9"']]}, ("id",), "9"),
    ],
)
def test_edits(proxied: Proxied, change: dict[str, Any], path: tuple, expected: Any) -> None:
    proxied.rules({"path": "^/infer$", **change})
    answer = json.loads(proxied.probe.request("POST", "/infer", body=b'{"old": 1}').body)
    for key in path:
        answer = answer[key]
    assert answer == expected
    (told,) = proxied.state.told()
    assert told["hits"] >= 1
    assert told["errors"] == []
    untouched = json.loads(proxied.probe.request("POST", "/else", body=b"").body)
    assert untouched["outputs"] == BODY["outputs"]
    assert untouched["id"] == "7"


def test_what_is_said_of_spans_does_not_hold_for_requests(upstream: str, proxied: Proxied) -> None:
    rule = {"on": "otlp", "forward": [["old", "new"]]}
    between = Server("otlp", upstream, proxied.state)
    with HttpProbe(f"http://127.0.0.1:{between.start()}") as spans:
        for on, change in (("otlp", b"new"), ("http", b"old")):
            proxied.state.load([{**rule, "on": on}])
            assert change in spans.request("POST", "/v1/traces", body=b"old").body
    between.shutdown()
    between.server_close()


def test_status_stale_and_counts(proxied: Proxied) -> None:
    proxied.rules({"path": "^/s$", "status": 503, "body": "down", "every": 2})
    assert [proxied.probe.request("GET", "/s").status for _ in range(4)] == [200, 503, 200, 503]
    proxied.rules({"path": "^/s$", "stale": True})
    first = proxied.probe.request("POST", "/s", body=b"1").body
    assert proxied.probe.request("POST", "/s", body=b"2").body == first
    proxied.rules({"path": "^/s$", "cached": True})
    one = json.loads(proxied.probe.request("POST", "/s", body=b'{"id": "a"}').body)
    two = json.loads(proxied.probe.request("POST", "/s", body=b'{"id": "b"}').body)
    assert one["asked"] == two["asked"] == '{"id": "a"}'
    assert two["id"] == "b"


@pytest.mark.parametrize(
    ("swap", "ids", "asked"),
    [("answer", "ba", "ba"), ("id", "ba", "ab"), ("values", "ab", "ba")],
)
def test_two_at_once_are_swapped(proxied: Proxied, swap: str, ids: str, asked: str) -> None:
    proxied.rules({"path": "^/t$", "swap": swap, "times": 2})
    got: dict[str, Any] = {}

    def ask(name: str) -> None:
        body = json.dumps({"id": name}).encode()
        got[name] = json.loads(proxied.probe.request("POST", "/t", body=body).body)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The server answers everybody with the id 7: an id of one's own shows whose it became.
    assert [json.loads(got[name]["asked"])["id"] for name in "ab"] == list(asked)
    assert [got[name]["id"] for name in "ab"] == {"answer": ["7", "7"]}.get(swap, list(ids))


def test_the_last_one_has_nobody_to_swap_with(
    proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faulty.proxy.rules.TRADE_S", 0.1)
    proxied.rules({"path": "^/t$", "swap": "id"})
    proxied.probe.request("POST", "/t", body=b"{}")
    assert proxied.state.told() == [{"matched": 1, "hits": 0, "alone": 1, "errors": []}]


def test_a_cut_body_and_a_closed_connection(proxied: Proxied) -> None:
    from pytest_triton.probe.types import ConnectionFailed

    for change in ({"cut": 3}, {"close": True}):
        proxied.rules(change)
        with pytest.raises(ConnectionFailed):
            proxied.probe.request("GET", "/x")


def test_a_rule_that_does_not_apply_is_told(proxied: Proxied) -> None:
    proxied.rules({"path": "/x", "set": {"nowhere.at.all": 1}})
    proxied.probe.request("GET", "/x")
    assert proxied.state.told()[0] == {"matched": 1, "hits": 0, "alone": 0, "errors": []}


@pytest.mark.parametrize("wrong", [{"on": "smtp"}, {"on": "http", "sett": {}},
                                   {"on": "http", "path": "("}])  # fmt: skip
def test_wrong_rules_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        rule(wrong)


def test_lines_of_metrics() -> None:
    page = '# TYPE a counter\na{m="x"} 5\nb 1\n'
    active = Active(rule({"on": "metrics", "lines": [{"match": "^a", "do": "freeze"},
                                                     {"match": "^b", "do": "drop"}]}))  # fmt: skip
    assert active.edit_lines(page)[0] == '# TYPE a counter\na{m="x"} 5\n'
    assert active.edit_lines(page.replace(" 5", " 9"))[0] == '# TYPE a counter\na{m="x"} 5\n'
    since = Active(rule({"on": "metrics", "lines": [{"match": "^a", "do": "since", "by": 2}]}))
    since.edit_lines(page)
    assert 'a{m="x"} 9' in since.edit_lines(page.replace(" 5", " 7"))[0]


def test_binary_tensors_both_ways() -> None:
    head = {"outputs": [{"name": "Y", "datatype": "FP32", "shape": [2],
                         "parameters": {"binary_data_size": 8}}]}  # fmt: skip
    text = json.dumps(head).encode()
    body = text + np.array([1, 2], "<f4").tobytes()
    headers = {tensors.HEADER: str(len(text))}
    made, changed = tensors.change_http(body, headers, {"op": "scale", "by": 10})
    assert changed
    assert np.frombuffer(made[int(headers[tensors.HEADER]) :], "<f4").tolist() == [10, 20]
    words = tensors.unpack("BYTES", [2], b"\2\0\0\0ab\1\0\0\0c")
    assert words.tolist() == [b"ab", b"c"]
    assert tensors.pack(words) == b"\2\0\0\0ab\1\0\0\0c"


def test_paths() -> None:
    document = {"a": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]}
    assert paths.change(document, "a[n=y].v", lambda old, _: old + 1) == 1
    assert paths.delete(document, "a[*].n") == 2
    assert document == {"a": [{"v": 1}, {"v": 3}]}
    assert paths.put(document, "a[-1].w", 5) == 1
    assert paths.put(document, "b.c", 5) == 0
    with pytest.raises(ValueError, match="no path"):
        paths.parse("a[")
