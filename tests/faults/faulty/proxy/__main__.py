"""``python -m faulty.proxy --http URL [--grpc H:P] [--metrics URL] [--otlp URL]``.

It lives as long as its stdin, and says the ports as one JSON line. Then each line read is an
order: ``{"rules": [...]}`` replaces the rules, ``{}`` changes nothing; the answer is a JSON line
with what came of the old rules.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .http import Server
from .state import State


def main() -> None:
    """Serve until end of file on standard input."""
    parser = argparse.ArgumentParser()
    for name in ("http", "grpc", "metrics", "otlp"):
        parser.add_argument(f"--{name}")
        parser.add_argument(f"--{name}-port", type=int, default=0)
    parser.add_argument("--grpc-tls", type=Path, nargs=3, default=(), metavar="PEM")
    parser.add_argument("--rules", type=Path)
    parser.add_argument("--told", type=Path, help="file for what comes of the rules")
    asked = parser.parse_args()
    state = State(asked.told)
    if asked.rules:
        state.load(json.loads(asked.rules.read_text()))
    ports = {}
    if asked.http:
        ports["http"] = Server("http", asked.http, state, asked.http_port).start()
    for name in ("metrics", "otlp"):
        if upstream := getattr(asked, name):
            port = getattr(asked, f"{name}_port")
            ports[name] = Server(name, upstream, state, port).start()
    if asked.grpc:
        from .grpc import serve

        kept, ports["grpc"] = serve(asked.grpc, state, asked.grpc_port, asked.grpc_tls)
    print(json.dumps(ports), flush=True)
    for line in sys.stdin:
        order, told = json.loads(line), state.told()
        try:
            if "rules" in order:
                state.load(order["rules"])
            answer = {"told": told}
        except ValueError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
    if asked.grpc:
        kept.stop(0)


if __name__ == "__main__":
    main()
