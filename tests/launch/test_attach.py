"""Addresses of servers that are already there."""

from __future__ import annotations

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.launch.attach import attach


@pytest.mark.parametrize(
    ("url", "http", "grpc", "metrics"),
    [
        ("http://h:8000", "http://h:8000", "h:8001", "http://h:8002/metrics"),
        ("h:8000", "http://h:8000", "h:8001", "http://h:8002/metrics"),
        ("http://h:8000/", "http://h:8000", "h:8001", "http://h:8002/metrics"),
        ("https://h:8000", "https://h:8000", "h:8001", "https://h:8002/metrics"),
        ("http://h:9000", "http://h:9000", None, None),
        ("http://h", "http://h", None, None),
        ("https://h/base/path/", "https://h/base/path", None, None),
        ("http://[::1]:8000", "http://[::1]:8000", "[::1]:8001", "http://[::1]:8002/metrics"),
    ],
)
def test_other_ports_are_assumed_only_beside_8000(
    url: str, http: str, grpc: str | None, metrics: str | None
) -> None:
    deployment = attach(url)
    assert (deployment.http_url, deployment.grpc_url, deployment.metrics_url) == (
        http, grpc, metrics,
    )  # fmt: skip
    assert deployment.kind == "endpoint"
    assert not deployment.owned


def test_named_endpoints_win() -> None:
    deployment = attach(
        "http://h:8000",
        grpc_url="grpc://g:9",
        metrics_url="http://m:7",
        headers=[("A", "b")],
    )
    assert deployment.grpc_url == "g:9"
    assert deployment.metrics_url == "http://m:7/metrics"
    assert deployment.headers == (("A", "b"),)


@pytest.mark.parametrize(
    "url", ["ftp://h:8000", "http://", "http://u:p@h:8000", "http://h:99999", "http://h:8000/?a=b"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ToolError) as caught:
        attach(url)
    assert caught.value.remedy
    assert "p@h" not in str(caught.value)
