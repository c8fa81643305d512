"""What the network takes, without any server: the handshake of TCP."""

from __future__ import annotations

import socket
import time
from statistics import median

import urllib3

#: Handshakes; their median is the round trip.
_TRIES = 9
_TIMEOUT = 5.0


def round_trip_ms(url: str) -> float:
    """The median of some TCP handshakes in ms: kernels answer them, whatever listens there.

    Raises OSError when nothing does.
    """
    parsed = urllib3.util.parse_url(url)
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    assert parsed.host is not None
    taken = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        with socket.create_connection((parsed.host.strip("[]"), port), _TIMEOUT):
            taken.append(time.perf_counter() - began)
    return median(taken) * 1e3
