"""A Triton in miniature over HTTP, right in everything, whose answers a test may spoil.

Four models: ``scale`` (PyTorch, batches, two versions, labels), ``echo`` (strings), ``chain``
(an ensemble of ``scale``) and ``tokens`` (decoupled). ``edit(kind, path, document)`` returns
what is sent in place of a JSON document, ``page(text)`` in place of the metrics.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fake_front
import numpy as np
from fake_front import Refused

from pytest_triton.probe.codec import decode_raw, encode_raw, from_json_data, to_json_data
from pytest_triton.probe.message import LENGTH_HEADER
from pytest_triton.probe.types import MalformedAnswer, Tensor

EXTENSIONS = [
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
]
LABELS = ("one", "two", "three")
JSON = {"Content-Type": "application/json"}


def _config(name: str, backend: str, batch: int, tensors: Any, **more: Any) -> dict[str, Any]:
    (one, kind, dims), (two, other, outs) = tensors
    made: dict[str, Any] = {
        "name": name,
        "platform": "ensemble" if backend == "ensemble" else "",
        "backend": "" if backend == "ensemble" else backend,
        "version_policy": {"all": {}},
        "max_batch_size": batch,
        "input": [{"name": one, "data_type": kind, "dims": dims}],
        "output": [{"name": two, "data_type": other, "dims": outs}],
    }
    if backend != "ensemble":
        made["instance_group"] = [{"name": name, "kind": "KIND_CPU", "count": 1}]
    return made | more


FLOATS = (("IN", "TYPE_FP32", [3]), ("OUT", "TYPE_FP32", [3]))


def _scale() -> dict[str, Any]:
    made = _config("scale", "pytorch", 4, FLOATS, dynamic_batching={})
    made["output"][0]["label_filename"] = "labels.txt"
    return made


def _chain() -> dict[str, Any]:
    step = {"model_name": "scale", "model_version": -1}
    # Written from the end to the beginning, which Triton allows.
    last = {**step, "input_map": {"IN": "between"}, "output_map": {"OUT": "OUT"}}
    first = {**step, "input_map": {"IN": "IN"}, "output_map": {"OUT": "between"}}
    return _config("chain", "ensemble", 4, FLOATS, ensemble_scheduling={"step": [last, first]})


CONFIGS = {
    "scale": _scale(),
    "echo": _config(
        "echo", "python", 0, (("TEXT", "TYPE_STRING", [2]), ("OUT", "TYPE_STRING", [2]))
    ),
    "chain": _chain(),
    "tokens": _config("tokens", "python", 0, FLOATS, model_transaction_policy={"decoupled": True}),
}
VERSIONS = {"scale": ["1", "2"], "echo": ["1"], "chain": ["1"], "tokens": ["1"]}


@dataclass
class FakeTriton:
    """Its state, and where it listens."""

    edit: Callable[[str, str, Any], Any] = lambda kind, path, document: document
    page: Callable[[str], str] = lambda text: text
    #: Requests of others that every reading of a counter finds on top.
    busy: int = 0
    port: int = 0
    #: For HTTPS.
    context: ssl.SSLContext | None = None
    counts: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: {(m, v): [0, 0, 0] for m in VERSIONS for v in VERSIONS[m]}
    )
    asked: dict[tuple[str, str], float] = field(default_factory=dict)
    sizes: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    @property
    def metrics_url(self) -> str:
        return f"{self.url}/metrics"

    # -- what it says

    def metadata(self, name: str) -> dict[str, Any]:
        config = CONFIGS[name]

        def tensors(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
            lead = [-1] if config["max_batch_size"] else []
            return [
                {
                    "name": entry["name"],
                    "datatype": entry["data_type"].replace("STRING", "BYTES")[5:],
                    "shape": lead + entry["dims"],
                }
                for entry in entries
            ]

        return {
            "name": name,
            "versions": VERSIONS[name],
            "platform": config["platform"] or config["backend"],
            "inputs": tensors(config["input"]),
            "outputs": tensors(config["output"]),
        }

    def _others(self) -> None:
        with self.lock:
            for key, count in self.counts.items():
                count[0] += self.busy
                count[2] += self.busy
                if self.busy:
                    sizes = self.sizes.setdefault(key, {})
                    sizes[1] = sizes.get(1, 0) + self.busy

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        self._others()
        entries = []
        for (model, served), (good, bad, rows) in self.counts.items():
            sizes = self.sizes.get((model, served), {})
            executions = sum(sizes.values())
            took = {"count": good, "ns": good * 1000}
            names = ("queue", "compute_input", "compute_infer", "compute_output")
            entries.append(
                {
                    "name": model,
                    "version": served,
                    "last_inference": int(self.asked.get((model, served), 0) * 1000),
                    "inference_count": rows,
                    "execution_count": executions,
                    "inference_stats": {
                        "success": {"count": good, "ns": good * 1000 * len(names)},
                        "fail": {"count": bad, "ns": 0},
                        **dict.fromkeys(names, took),
                        **{key: {"count": 0, "ns": 0} for key in ("cache_hit", "cache_miss")},
                    },
                    "response_stats": {},
                    "batch_stats": [
                        {
                            "batch_size": size,
                            **{key: {"count": count, "ns": count} for key in names[1:]},
                        }
                        for size, count in sizes.items()
                    ],
                    "memory_usage": [],
                }
            )
        return {
            "model_stats": [
                entry
                for entry in entries
                if name in ("", entry["name"]) and version in ("", entry["version"])
            ]
        }

    def metrics(self) -> str:
        from pytest_triton.monitor.expected import REASONS, UNITS, families_of

        self._others()
        lines = []
        for family, kind in families_of("24.10").items():
            unit = next((unit for end, unit in UNITS.items() if family.endswith(end)), "requests")
            lines += [f"# HELP {family} Help, in {unit}", f"# TYPE {family} {kind}"]
            if not family.startswith("nv_inference"):
                lines.append(f"{family} 1")
                continue
            for (model, version), (good, bad, rows) in self.counts.items():
                labels = f'model="{model}",version="{version}"'
                if family == "nv_inference_request_failure":
                    lines += [
                        f'{family}{{{labels},reason="{reason}"}} {bad if reason == "BACKEND" else 0}'
                        for reason in sorted(REASONS)
                    ]
                    continue
                value = {
                    "nv_inference_request_success": good,
                    "nv_inference_count": rows,
                    "nv_inference_exec_count": sum(self.sizes.get((model, version), {}).values()),
                    "nv_inference_pending_request_count": 0,
                    "nv_inference_request_duration_us": 4 * good,
                }.get(family, good)
                lines.append(f"{family}{{{labels}}} {value}")
        return self.page("\n".join(lines) + "\n")

    # -- what it does

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict, bytes]:
        try:
            fake_front.route(method, path)
            if path == "/metrics":
                return 200, {"Content-Type": "text/plain; charset=utf-8"}, self.metrics().encode()
            kind, document = self._document(path, headers, fake_front.unpack(headers, body))
        except Refused as error:
            return error.status, JSON, json.dumps({"error": str(error)}).encode()
        if kind == "health":
            return 200, {}, b""
        if isinstance(document, tuple):
            return 200, *fake_front.pack(headers, *document)
        answer = json.dumps(self.edit(kind, path, document)).encode()
        return 200, *fake_front.pack(headers, JSON, answer)

    def _document(self, path: str, headers: Any, body: bytes) -> tuple[str, Any]:
        if path in ("/v2/health/live", "/v2/health/ready"):
            return "health", None
        if path == "/v2":
            return "server", {"name": "triton", "version": "2.51.0", "extensions": EXTENSIONS}
        if path == "/v2/models/stats":
            return "statistics", self.statistics()
        if path == "/v2/repository/index":
            if body and not isinstance(json.loads(body).get("ready", True), bool):
                raise Refused(500, "attempt to access JSON non-boolean as boolean")
            return "index", [
                {"name": name, "version": version, "state": "READY"}
                for name in CONFIGS
                for version in VERSIONS[name]
            ]
        _, _, _, name, *rest = path.split("/")
        version = rest[1] if rest[:1] == ["versions"] else ""
        verb = rest[-1] if len(rest) % 2 else ""
        missing = 400 if verb == "ready" else 404
        if name not in CONFIGS:
            raise Refused(missing, f"Request for unknown model: '{name}' is not found")
        if version and version not in VERSIONS[name]:
            raise Refused(missing, f"'{name}' version {version} is not found")
        return {
            "": lambda: ("metadata", self.metadata(name)),
            "ready": lambda: ("health", None),
            "config": lambda: ("config", CONFIGS[name]),
            "stats": lambda: ("statistics", self.statistics(name, version)),
            "infer": lambda: self._infer(path, name, version or VERSIONS[name][-1], headers, body),
        }[verb]()

    def _infer(self, path: str, name: str, version: str, headers: Any, body: bytes) -> Any:
        size = fake_front.header_length(headers, body)
        try:
            request = json.loads(body[:size]) if size or not body else None
        except ValueError:
            raise Refused(500, "failed to parse the request JSON buffer") from None
        if request is None:
            request = fake_front.raw_request(name, self.metadata(name)["inputs"][0], body)
        given = fake_front.check(name, request, body[size:])
        if CONFIGS[name].get("model_transaction_policy"):
            raise Refused(501, "doesn't support models with decoupled transaction policy")
        if len(given) != 1:
            raise Refused(400, f"expected 1 inputs but got {len(given)} inputs for model '{name}'")
        values = self._value(name, given[0], body[size:])
        many = len(values) if CONFIGS[name]["max_batch_size"] else 1
        result = values
        for _ in range({"echo": 0, "chain": 2}.get(name, 1)):
            result = result * np.float32(2) + np.float32(int(version))
            if name == "chain":
                result += np.float32(1)
        asked = request.get("outputs") or [{"name": "OUT"}]
        if asked[0]["name"] != "OUT":
            text = f"unexpected inference output '{asked[0]['name']}' for model '{name}'"
            raise Refused(400, text)
        with self.lock:
            for key in ((name, version),) + ((("scale", "2"),) * 2 if name == "chain" else ()):
                self.counts[key][0] += 1
                self.counts[key][2] += many
                self.asked[key] = time.time()
                sizes = self.sizes.setdefault(key, {})
                sizes[many] = sizes.get(many, 0) + 1
        holder, key = request, "binary_data_output"
        if "outputs" in request:
            holder, key = asked[0], "binary_data"
        binary = holder.get("parameters", {}).get(key)
        classes = asked[0].get("parameters", {}).get("classification")
        return self._result(path, name, version, request, result, bool(binary), classes)

    def _result(
        self, path: str, name: str, version: str, request: Any, result: Any, binary: bool,
        classes: int | None,
    ) -> Any:  # fmt: skip
        datatype = "BYTES" if name == "echo" or classes else "FP32"
        if classes:
            best = np.argsort(-result, axis=1, kind="stable")[:, :classes]
            rows = [
                [f"{row[at]:f}:{at}:{LABELS[at]}".encode() for at in order]
                for row, order in zip(result, best, strict=True)
            ]
            result = np.array(rows, object)
        tensor = Tensor(result, datatype)
        output: dict[str, Any] = {"name": "OUT", "datatype": datatype, "shape": [*result.shape]}
        answer = {"model_name": name, "model_version": version, "outputs": [output]}
        if "id" in request:
            answer["id"] = request["id"]
        if not binary:
            output["data"] = to_json_data(tensor)
            return "json", answer
        raw = encode_raw(tensor)
        output["parameters"] = {"binary_data_size": len(raw)}
        head = json.dumps(self.edit("binary", path, answer)).encode()
        return "binary", ({LENGTH_HEADER: str(len(head))}, head + raw)

    def _value(self, name: str, given: Any, raw: bytes) -> Any:
        config = CONFIGS[name]
        declared = self.metadata(name)["inputs"][0]
        told, shape, datatype = given.get("name"), given.get("shape"), given.get("datatype")
        if told != declared["name"]:
            raise Refused(400, f"unexpected inference input '{told}' for model '{name}'")
        if datatype != declared["datatype"]:
            text = f"inference input '{told}' data-type is '{datatype}', but model '{name}' expects"
            raise Refused(400, f"{text} '{declared['datatype']}'")
        dims = config["input"][0]["dims"]
        batched = isinstance(shape, list) and config["max_batch_size"] and shape[1:] == dims
        if not batched and (config["max_batch_size"] or shape != dims):
            raise Refused(400, f"[{name}] unexpected shape for input '{told}'. Expected {dims}")
        if batched and not 0 < shape[0] <= config["max_batch_size"]:
            text = f"batch-size must be <= {config['max_batch_size']} for '{name}'"
            raise Refused(400, f"inference request {text}")
        try:
            if "data" in given:
                return from_json_data(given["data"], datatype, shape, told)
            return decode_raw(raw, datatype, shape, told)
        except MalformedAnswer as error:
            raise Refused(400, str(error)) from None


@contextlib.contextmanager
def fake_triton(**options: Any) -> Iterator[FakeTriton]:
    """Serve until the end of the block."""
    fake = FakeTriton(**options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, answer = fake.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    fake.port = server.server_port
    if fake.context:
        server.socket = fake.context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
