"""A server of ours with its doors shut: restricted APIs, TLS with certificates of both sides,
closed metrics; and the requests that try those doors."""

from __future__ import annotations

import ipaddress
import random
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from pytest_triton.certificates import Certificates, write_certificates
from pytest_triton.observed import NOBODY
from pytest_triton.probe.http import HttpProbe, model_path
from pytest_triton.probe.types import ConnectionFailed, HttpAnswer, RequestFailed
from pytest_triton.probe_set import ADDSUB, ECHO, write_probes
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

if TYPE_CHECKING:
    from pytest_triton.factory import ServerFactory
    from pytest_triton.probe.grpc import GrpcProbe

HOST = "127.0.0.1"
#: The header that opens a category of APIs: two keys, for one must not open the other's.
HEADERS: dict[str, str] = {
    **dict.fromkeys(("model-repository", "model-config", "shared-memory"), "ptt-control-key"),
    **dict.fromkeys(("statistics", "trace", "logging"), "ptt-watch-key"),
}
#: What Triton puts in front of a key's header in gRPC.
GRPC_PREFIX = "triton-grpc-protocol-"
#: First release with --http-restricted-api that was tried (23.10 has no such flag).
RESTRICTS_HTTP_SINCE = "24.07"
#: Seconds after READY until the metrics are open, on a machine with much else to do.
METRICS_OPEN = 2.0
#: Headers of this pattern become parameters of a request.
FORWARDED = "^(?i)x-ptt-"
#: Category -> requests over HTTP: method, path, JSON.
HTTP_REQUESTS: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "model-repository": (
        ("POST", "/v2/repository/index", {}),
        ("POST", f"/v2/repository/models/{NOBODY}/unload", {}),
    ),
    "model-config": (("GET", f"{model_path(ADDSUB)}/config", None),),
    "shared-memory": (
        ("GET", "/v2/systemsharedmemory/status", None),
        ("GET", "/v2/cudasharedmemory/status", None),
        ("POST", "/v2/systemsharedmemory/unregister", {}),
    ),
    "statistics": (
        ("GET", f"{model_path(ADDSUB)}/stats", None),
        ("GET", "/v2/models/stats", None),
    ),
    "trace": (
        ("GET", "/v2/trace/setting", None),
        ("GET", f"{model_path(ADDSUB)}/trace/setting", None),
    ),
    "logging": (("GET", "/v2/logging", None), ("POST", "/v2/logging", {})),
}
#: Category -> methods over gRPC, and the fields of their requests.
GRPC_REQUESTS: dict[str, tuple[tuple[str, dict[str, str]], ...]] = {
    "model-repository": (
        ("RepositoryIndex", {}),
        ("RepositoryModelUnload", {"model_name": NOBODY}),
    ),
    "model-config": (("ModelConfig", {"name": ADDSUB}),),
    "shared-memory": (("SystemSharedMemoryStatus", {}), ("CudaSharedMemoryStatus", {})),
    "statistics": (("ModelStatistics", {"name": ADDSUB}),),
    "trace": (("TraceSetting", {}),),
    "logging": (("LogSettings", {}),),
}


@dataclass(frozen=True, slots=True)
class Guarded:
    """The server, as somebody sees it who has every key and a certificate."""

    subject: Subject
    keys: Mapping[str, str]
    certificates: Certificates
    #: Of another CA.
    strangers: Certificates
    #: Where the metrics would be; nobody else can listen there.
    metrics_port: int
    #: When it was READY, by :func:`time.monotonic`.
    ready: float

    def attempts(self, category: str, prefix: str = "") -> dict[str, dict[str, str]]:
        """Headers that must not open a category, by name."""
        header = HEADERS[category]
        other = next(name for name in self.keys if name != header)
        return {
            "without a key": {},
            "with a wrong key": {prefix + header: f"{self.keys[header]}x"},
            "with the key of other APIs": {prefix + other: self.keys[other]},
            "with the key under another header": {prefix + other: self.keys[header]},
        }

    def right(self, category: str) -> dict[str, str]:
        """The header that opens a category over HTTP."""
        header = HEADERS[category]
        return {header: self.keys[header]}

    @contextmanager
    def http(self, headers: Mapping[str, str] | None = None) -> Iterator[HttpProbe]:
        """A client over HTTP with these headers and no others."""
        with HttpProbe(self.subject.deployment.http_url, headers=(headers or {}).items()) as probe:
            yield probe

    @contextmanager
    def grpc(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        tls: bool = True,
        ca: Certificates | None = None,
        client: Certificates | None = None,
        anonymous: bool = False,
    ) -> Iterator[GrpcProbe]:
        """A client over gRPC with these headers; by default one that has to be served."""
        from pytest_triton.probe.grpc import GrpcProbe
        from pytest_triton.probe.tls import grpc_credentials

        shown = client or self.certificates
        pair = (None, None) if anonymous else (shown.client_cert, shown.client_key)
        credentials = grpc_credentials((ca or self.certificates).ca, *pair) if tls else None
        url = self.subject.deployment.grpc_url
        assert url is not None
        with GrpcProbe(url, headers=(headers or {}).items(), credentials=credentials) as probe:
            yield probe

    def strangers_over_grpc(self) -> dict[str, dict[str, Any]]:
        """Clients that must not be served: what :meth:`grpc` makes each of."""
        return {
            "a client without TLS": {"tls": False},
            "a client without a certificate": {"anonymous": True},
            "a client with a certificate of another CA": {"client": self.strangers},
            "a client that trusts another CA": {"ca": self.strangers},
        }

    def opens_metrics(self) -> bool:
        """Whether the port of the metrics opens: it is the last that Triton opens, after READY."""
        while not connects(HOST, self.metrics_port):
            if time.monotonic() > self.ready + METRICS_OPEN:
                return False
            time.sleep(0.02)
        return True

    def addresses(self) -> set[tuple[str, int]]:
        """Where the server was told to listen."""
        deployment = self.subject.deployment
        urls = (deployment.http_url, f"//{deployment.grpc_url}")
        return {(HOST, urlsplit(url).port or 0) for url in urls}


def send(probe: HttpProbe, request: tuple[str, str, Any]) -> HttpAnswer:
    """One of :data:`HTTP_REQUESTS`."""
    import json

    method, path, document = request
    body = None if document is None else json.dumps(document).encode()
    return probe.request(method, path, body=body)


def call(probe: GrpcProbe, request: tuple[str, Mapping[str, str]]) -> RequestFailed | None:
    """The refusal of one of :data:`GRPC_REQUESTS`; None: it is answered."""
    from tritonclient.grpc import service_pb2 as pb

    method, fields = request
    try:
        probe.call(method, getattr(pb, f"{method}Request")(**fields))
    except RequestFailed as refused:
        return refused
    return None


def served(probe: GrpcProbe) -> bool:
    """Whether a client gets any answer at all."""
    try:
        probe.live()
    except ConnectionFailed:
        return False
    except RequestFailed:
        return True
    return True


def listening(pid: int) -> set[tuple[str, int]]:
    """Addresses on which a process and its children listen (TCP), IPv4 written as IPv4."""
    found = set()
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:  # a child that has just ended
            continue
        for item in connections:
            if item.status == psutil.CONN_LISTEN:
                found.add((_plain(item.laddr.ip), item.laddr.port))
    return found


def _plain(address: str) -> str:
    """::ffff:127.0.0.1 is 127.0.0.1, as an IPv6 socket sees it."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def other_addresses(limit: int = 4) -> list[str]:
    """IPv4 addresses of this machine that are not 127.0.0.1; there is always one."""
    found = ["127.0.0.2"]  # every address that begins with 127 is this machine
    for entries in psutil.net_if_addrs().values():
        found += [
            entry.address
            for entry in entries
            if entry.family == socket.AF_INET and not entry.address.startswith("127.")
        ]
    return found[:limit]


def connects(address: str, port: int) -> bool:
    """Whether somebody accepts a connection there."""
    try:
        socket.create_connection((address, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def restricting(keys: Mapping[str, str], flag: str) -> list[str]:
    """Flags that restrict every category of :data:`HEADERS`; a colon stands before the key."""
    return [
        f"--{flag}={','.join(name for name, its in HEADERS.items() if its == header)}"
        f":{header}={value}"
        for header, value in keys.items()
    ]


def _flags(release: str, keys: Mapping[str, str], own: Certificates, port: int) -> Sequence[str]:
    http = not release[:1].isdigit() or release >= RESTRICTS_HTTP_SINCE
    return (
        *(restricting(keys, "http-restricted-api") if http else ()),
        *restricting(keys, "grpc-restricted-protocol"),
        "--grpc-use-ssl=true",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={own.server_cert}",
        f"--grpc-server-key={own.server_key}",
        f"--grpc-root-cert={own.ca}",
        f"--http-header-forward-pattern={FORWARDED}",
        f"--grpc-header-forward-pattern={FORWARDED}",
        "--allow-metrics=false",
        f"--metrics-port={port}",
    )


@contextmanager
def guarded(factory: ServerFactory, settings: Settings, directory: Path) -> Iterator[Guarded]:
    """Boot one; it ends with the factory."""
    draw = random.Random(f"{settings.seed} keys")
    keys = {header: f"{draw.getrandbits(64):016x}" for header in dict.fromkeys(HEADERS.values())}
    own, strangers = (write_certificates(directory / name) for name in ("own", "strangers"))
    with socket.socket() as held:  # bound and never listening: only tritonserver gets in
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, 0))
        port = int(held.getsockname()[1])
        deployment = factory(
            write_probes(directory / "models"),
            (ADDSUB, ECHO),
            auto_complete=False,
            server_args=_flags(settings.server_release, keys, own, port),
            headers=tuple((pre + name, keys[name]) for pre in ("", GRPC_PREFIX) for name in keys),
        )
        ready = time.monotonic()
        known = replace(
            settings, models="*", tls_ca=own.ca, tls_cert=own.client_cert, tls_key=own.client_key
        )
        subject = Subject(deployment, known)
        try:
            yield Guarded(subject, keys, own, strangers, port, ready)
        finally:
            subject.close()
