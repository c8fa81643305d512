"""HTTPS with a certificate of one's own: accepted with its CA, refused without, everywhere."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_triton import FakeTriton, fake_triton

from pytest_triton.certificates import Certificates, write_certificates
from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError
from pytest_triton.measuring import Metrics, drive, prepare
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.tls import grpc_credentials, ssl_context
from pytest_triton.probe.types import ConnectionFailed
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def secure(ours: Certificates) -> Iterator[FakeTriton]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.server_cert, ours.server_key)
    with fake_triton(context=context) as fake:
        yield fake


def _subject(fake: FakeTriton, ca: Path | None) -> Subject:
    deployment = Deployment("endpoint", fake.url, metrics_url=fake.metrics_url)
    return Subject(deployment, Settings(url=fake.url, allow_load=2, tls_ca=ca))


def test_everything_is_asked_with_the_ca(secure: FakeTriton, ours: Certificates) -> None:
    subject = _subject(secure, ours.ca)
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
def test_a_stranger_is_refused(secure: FakeTriton, other: Certificates, with_other: bool) -> None:
    subject = _subject(secure, other.ca if with_other else None)
    with pytest.raises(ConnectionFailed, match="TLS"):
        subject.http.live()
    assert "does not answer on HTTP" in str(subject.obstacle("live"))
    assert "does not answer" in str(subject.obstacle("metrics"))
    with pytest.raises(ConnectionFailed):
        subject.scrape()
    subject.close()


def test_client_certificates(ours: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.server_cert, ours.server_key)
    context.load_verify_locations(ours.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    with fake_triton(context=context) as fake:
        with HttpProbe(
            fake.url, ssl_context=ssl_context(ours.ca, ours.client_cert, ours.client_key)
        ) as known:
            assert known.live()
        with HttpProbe(fake.url, ssl_context=ssl_context(ours.ca, None, None)) as unknown:
            with pytest.raises(ConnectionFailed):
                unknown.live()


def test_files_that_are_none(tmp_path: Path, ours: Certificates, other: Certificates) -> None:
    assert ssl_context(None, None, None) is None
    assert grpc_credentials(None, None, None) is None
    assert grpc_credentials(ours.ca, None, None) is not None
    assert grpc_credentials(ours.ca, ours.client_cert, ours.client_key) is not None
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for files in (
        (tmp_path / "absent.pem", None, None),
        (empty, None, None),
        (None, ours.client_cert, other.client_key),
        (None, ours.client_cert, None),
        (None, None, ours.client_key),
    ):
        for make in (ssl_context, grpc_credentials):
            with pytest.raises(ToolError, match="--triton-tls-cert"):
                make(*files)
