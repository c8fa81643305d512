"""HTTPS with a certificate of one's own: accepted with its CA, refused without, everywhere."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_triton import FakeTriton, fake_triton

from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError
from pytest_triton.measuring import Metrics, drive, prepare
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.tls import grpc_credentials, ssl_context
from pytest_triton.probe.types import ConnectionFailed
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command")


def _pair(directory: Path) -> tuple[Path, Path]:
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return cert, key


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _pair(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _pair(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def secure(ours: tuple[Path, Path]) -> Iterator[FakeTriton]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, ours))
    with fake_triton(context=context) as fake:
        yield fake


def _subject(fake: FakeTriton, ca: Path | None) -> Subject:
    deployment = Deployment("endpoint", fake.url, metrics_url=fake.metrics_url)
    return Subject(deployment, Settings(url=fake.url, allow_load=2, tls_ca=ca))


def test_everything_is_asked_with_the_ca(secure: FakeTriton, ours: tuple[Path, Path]) -> None:
    subject = _subject(secure, ours[0])
    assert secure.url.startswith("https://")
    assert subject.http.live()
    assert subject.obstacle("metrics") is None
    assert subject.metrics_page().status == 200
    assert "nv_inference_count" in subject.scrape().families
    requests = prepare(subject, "scale", count=4)
    run = drive(subject, "scale", requests, concurrency=2, count=20, check_every=1)
    assert (run.errors, run.wrong) == (0, 0)
    assert run.requests >= 20
    subject.close()
    metrics = Metrics(subject.deployment, settings=subject.settings)
    assert metrics.scrape().value("nv_inference_count", model="scale") is not None


@pytest.mark.parametrize("with_other", [True, False])
def test_a_stranger_is_refused(
    secure: FakeTriton, other: tuple[Path, Path], with_other: bool
) -> None:
    subject = _subject(secure, other[0] if with_other else None)
    with pytest.raises(ConnectionFailed, match="TLS"):
        subject.http.live()
    assert "does not answer on HTTP" in str(subject.obstacle("live"))
    assert "does not answer" in str(subject.obstacle("metrics"))
    with pytest.raises(ConnectionFailed):
        subject.scrape()
    subject.close()


def test_client_certificates(ours: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, ours))
    context.load_verify_locations(str(ours[0]))
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key = ours
    with fake_triton(context=context) as fake:
        with HttpProbe(fake.url, ssl_context=ssl_context(cert, cert, key)) as known:
            assert known.live()
        with HttpProbe(fake.url, ssl_context=ssl_context(cert, None, None)) as unknown:
            with pytest.raises(ConnectionFailed):
                unknown.live()


def test_files_that_are_none(
    tmp_path: Path, ours: tuple[Path, Path], other: tuple[Path, Path]
) -> None:
    assert ssl_context(None, None, None) is None
    assert grpc_credentials(None, None, None) is None
    assert grpc_credentials(*ours[:1], None, None) is not None
    assert grpc_credentials(ours[0], *ours) is not None
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for files in (
        (tmp_path / "absent.pem", None, None),
        (empty, None, None),
        (None, ours[0], other[1]),
        (None, ours[0], None),
        (None, None, ours[1]),
    ):
        for make in (ssl_context, grpc_credentials):
            with pytest.raises(ToolError, match="--triton-tls-cert"):
                make(*files)
