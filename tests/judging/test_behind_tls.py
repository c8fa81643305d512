"""A real server whose HTTP stands behind a proxy that ends TLS: nothing is lost on the way."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from pytest_triton.certificates import Certificates, write_certificates
from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install
from pytest_triton.probe.http import HttpProbe, model_path
from pytest_triton.probe.tls import ssl_context
from pytest_triton.probe.types import ConnectionFailed
from pytest_triton.probe_set import ADDSUB, ECHO, STREAM, TYPES, write_probes

INPUTS = {
    "INPUT0": np.arange(16, dtype=np.int32).reshape(1, 16),
    "INPUT1": np.full((1, 16), 7, dtype=np.int32),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    install()
    repository = write_probes(tmp_path_factory.mktemp("behind-tls") / "models")
    models = (ADDSUB, ECHO, STREAM, TYPES)
    with embedded(ServerSpec(repository, models, device="cpu", auto_complete=False)) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def url(server: Deployment, certificates: Certificates) -> Iterator[str]:
    """Of a proxy that takes TLS off and hands bytes on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    parts = urlsplit(server.http_url)
    behind = (str(parts.hostname), int(parts.port or 0))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_relay, args=(context, client, behind), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _relay(context: ssl.SSLContext, client: socket.socket, behind: tuple[str, int]) -> None:
    with ExitStack() as stack, suppress(OSError):
        secure = stack.enter_context(context.wrap_socket(client, server_side=True))
        plain = stack.enter_context(socket.create_connection(behind, timeout=30))

        def back() -> None:
            with suppress(OSError):
                while data := plain.recv(65536):
                    secure.sendall(data)

        answers = threading.Thread(target=back, daemon=True)
        answers.start()
        while data := secure.recv(65536):
            plain.sendall(data)
        plain.shutdown(socket.SHUT_RDWR)
        answers.join(10)


@pytest.fixture
def http(url: str, certificates: Certificates) -> Iterator[HttpProbe]:
    with HttpProbe(url, ssl_context=ssl_context(certificates.ca, None, None)) as probe:
        yield probe


@pytest.mark.parametrize("binary", [True, False])
def test_inference(http: HttpProbe, binary: bool) -> None:
    answer = http.infer(ADDSUB, INPUTS, binary=binary)
    assert bool(answer.raw_sizes) == binary
    np.testing.assert_array_equal(answer["OUTPUT0"], INPUTS["INPUT0"] + 7)
    np.testing.assert_array_equal(answer["OUTPUT1"], INPUTS["INPUT0"] - 7)


def test_a_large_tensor(http: HttpProbe) -> None:
    sent = np.random.default_rng(5).integers(-(2**63), 2**63 - 1, 500_000, dtype=np.int64)
    answer = http.infer(TYPES, {"IN_INT64": sent})
    np.testing.assert_array_equal(answer["OUT_INT64"], sent)


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_compression(http: HttpProbe, name: str) -> None:
    text = "abc" * 3000
    document = {
        "inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": [text]}],
        "outputs": [{"name": "text_output"}],
    }
    pack, unpack = {
        "gzip": (gzip.compress, gzip.decompress),
        "deflate": (zlib.compress, zlib.decompress),
    }[name]
    answer = http.request(
        "POST",
        f"{model_path(ECHO)}/infer",
        body=pack(json.dumps(document).encode()),
        headers={"Content-Encoding": name, "Accept-Encoding": name},
    )
    assert answer.status == 200, answer.text
    assert answer.headers["content-encoding"] == name
    assert len(answer.body) < 500
    assert json.loads(unpack(answer.body))["outputs"][0]["data"] == [text]


def test_a_stream(http: HttpProbe) -> None:
    payload = {"text_input": "x", "COUNT": 5, "DELAY_MS": 20}
    events = list(http.generate_stream(STREAM, payload))
    assert [event["text_output"] for event in events] == [f"x {number}" for number in range(5)]


def test_a_stream_comes_as_it_is_made(http: HttpProbe) -> None:
    payload = {"text_input": "x", "COUNT": 2, "DELAY_MS": 3000}
    stream = http.generate_stream(STREAM, payload, timeout=10)
    assert next(stream)["INDEX"] == 0
    stream.close()


def test_strangers(url: str, server: Deployment, tmp_path: Path) -> None:
    other = write_certificates(tmp_path)
    with HttpProbe(url, ssl_context=ssl_context(other.ca, None, None)) as probe:
        with pytest.raises(ConnectionFailed, match="TLS"):
            probe.infer(ADDSUB, INPUTS)
    with HttpProbe(url.replace("https", "http"), timeout=3) as probe:
        with pytest.raises(ConnectionFailed):
            probe.infer(ADDSUB, INPUTS)
    with HttpProbe(server.http_url) as probe:
        assert probe.live()
