"""The proxy process, seen from the tests."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from types import TracebackType
from typing import Any

from .data import DIRECTORY

#: Seconds for one answer of the proxy.
_TIMEOUT = 30.0


class Proxy:
    """One proxy before one server; it ends with the block."""

    def __init__(self, http: str, grpc: str | None, metrics: str | None) -> None:
        command = [sys.executable, "-m", "faulty.proxy", "--http", http]
        command += ["--grpc", grpc] if grpc else []
        command += ["--metrics", metrics] if metrics else []
        env = {**os.environ, "PYTHONPATH": str(DIRECTORY)}
        self._process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        ports = self._line()
        self.http = f"http://127.0.0.1:{ports['http']}"
        self.grpc = f"127.0.0.1:{ports['grpc']}" if grpc else ""
        self.metrics = f"http://127.0.0.1:{ports['metrics']}/metrics" if metrics else ""

    @property
    def arguments(self) -> list[str]:
        """For the judge: attach to this, with everything allowed."""
        return ["--triton-url", self.http, "--triton-grpc-url", self.grpc,
                "--triton-metrics-url", self.metrics, "--triton-allow-control",
                "--triton-allow-load"]  # fmt: skip

    def rules(self, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Replace the rules; what came of the old ones."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"rules": rules}) + "\n")
        self._process.stdin.flush()
        answer = self._line()
        if "error" in answer:
            raise ValueError(answer["error"])
        told: list[dict[str, Any]] = answer["told"]
        return told

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _TIMEOUT)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            raise RuntimeError(f"the proxy says nothing (status {self._process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
