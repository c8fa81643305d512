"""A gateway that does not notice when its server is gone: ``python relay.py PORT UPSTREAM``.

Bytes go through both ways, and a connection that the server closes stays open for the client.
Outlives whoever started it; standard library only.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time

HOST = "127.0.0.1"
#: Seconds that it lives.
LIFE = 120.0


def main(port: int, upstream: int) -> None:
    """Relay until its life is over, or somebody ends it."""
    os.setsid()
    threading.Timer(LIFE, lambda: os._exit(0)).start()
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((HOST, port))
        _until_there(upstream)  # who looks for the server must not find the gateway alone
        door.listen(64)
        while True:
            client, _ = door.accept()
            threading.Thread(target=_relay, args=(client, upstream), daemon=True).start()


def _until_there(upstream: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, upstream)):
            return
        time.sleep(0.01)


def _relay(client: socket.socket, upstream: int) -> None:
    with contextlib.suppress(OSError):
        server = socket.create_connection((HOST, upstream))
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        while data := server.recv(65536):
            client.sendall(data)
        time.sleep(LIFE)


def _pump(client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            server.sendall(data)
        server.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
