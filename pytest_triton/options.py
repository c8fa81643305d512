"""Every option, declared here and nowhere else.

pytest's options, ini keys, environment variables, the reference in the documentation and
the report's ``settings`` are all read off this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

AREAS = (
    "setup",
    "config",
    "accuracy",
    "protocol",
    "batching",
    "latency",
    "metrics",
    "operations",
)
TIERS = ("basic", "advanced", "expert")

#: No bound on concurrency was given with --triton-allow-load.
UNBOUNDED = 0

Kind = Literal["str", "path", "flag", "float", "int", "choice", "list", "areas", "load"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``--triton-NAME``, ini ``triton_NAME``, environment ``PYTEST_TRITON_NAME``."""

    name: str
    group: str
    kind: Kind
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    default: Any = None
    #: Whether it is an option of the command line too.
    typed: bool = True

    @property
    def flag(self) -> str:
        """What people call it: the option, or the ini key where there is none."""
        return f"--triton-{self.name}" if self.typed else self.dest

    @property
    def dest(self) -> str:
        return "triton_" + self.name.replace("-", "_")

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")

    @property
    def env(self) -> str:
        return "PYTEST_TRITON_" + self.name.replace("-", "_").upper()


OPTIONS: tuple[Option, ...] = (
    Option(
        "url",
        "where",
        "str",
        "attach to a running server, e.g. http://127.0.0.1:8000. It is judged as it stands and "
        "left as it was found",
        "URL",
    ),
    Option(
        "grpc-url",
        "where",
        "str",
        "its gRPC endpoint (8001 is assumed only beside 8000)",
        "HOST:PORT",
    ),
    Option(
        "metrics-url",
        "where",
        "str",
        "its metrics endpoint (8002 is assumed only beside 8000)",
        "URL",
    ),
    Option(
        "header",
        "where",
        "list",
        "a header for every request, 'Name: value'; repeatable, redacted in reports",
        "'N: v'",
        default=(),
    ),
    Option("tls-ca", "where", "path", "certificate authority that signs the endpoint", "FILE"),
    Option("tls-cert", "where", "path", "client certificate", "FILE"),
    Option("tls-key", "where", "path", "key of the client certificate", "FILE"),
    Option(
        "repository",
        "what",
        "path",
        "serve and judge this model repository (without it: the reference repository)",
        "DIR",
    ),
    Option("models", "what", "str", "judge only models whose name matches", "GLOB", default="*"),
    Option(
        "inputs",
        "what",
        "path",
        "input data in perf_analyzer's JSON (with validation_data), or ranges, values and "
        "lengths per tensor",
        "FILE",
    ),
    Option(
        "launcher",
        "how",
        "choice",
        "what boots the server",
        choices=("embedded", "docker"),
        default="embedded",
    ),
    Option(
        "server-release",
        "how",
        "str",
        "release of the embedded server, e.g. 24.07",
        "RELEASE",
        default="24.10",
    ),
    Option(
        "device",
        "how",
        "choice",
        "where models run",
        choices=("cpu", "gpu", "auto"),
        default="auto",
    ),
    Option(
        "image",
        "how",
        "str",
        "image of the docker launcher",
        "IMAGE",
        default="nvcr.io/nvidia/tritonserver:24.07-py3",
    ),
    Option("compose-file", "how", "path", "compose file of the docker launcher", "FILE"),
    Option("compose-service", "how", "str", "its service that is Triton", "NAME"),
    Option(
        "boot-timeout",
        "how",
        "float",
        "seconds until the server must be ready",
        "SECONDS",
        default=120.0,
    ),
    Option(
        "server-python",
        "how",
        "path",
        "Python (3.10 to 3.12) that the server's Python models run in",
        "PYTHON",
    ),
    Option(
        "tier",
        "verdict",
        "choice",
        "tier that has to be reached for exit status 0",
        choices=TIERS,
        default="basic",
    ),
    Option(
        "scope",
        "verdict",
        "areas",
        f"limit the verdict to areas: {', '.join(AREAS)} (no level is awarded then)",
        "AREA,…",
        default=(),
    ),
    Option(
        "profile",
        "verdict",
        "choice",
        "what the verdict is for",
        choices=("lab", "certificate"),
        default="lab",
    ),
    Option("waivers", "verdict", "path", "TOML file of waived clauses: id, reason, until", "FILE"),
    Option("baseline", "verdict", "path", "report.json to compare measured numbers with", "FILE"),
    Option(
        "seed", "verdict", "int", "seed of everything random (default: drawn, and reported)", "N"
    ),
    Option(
        "allow-control",
        "verdict",
        "flag",
        "allow loading, unloading and settings on an attached endpoint",
        default=False,
    ),
    Option(
        "allow-load",
        "verdict",
        "load",
        "allow more than one request in flight and 20 a second on an attached endpoint, "
        "up to MAX_CONCURRENCY",
        "MAX_CONCURRENCY",
    ),
    Option(
        "report",
        "output",
        "path",
        "directory of report.json and the evidence",
        "DIR",
        default=Path("triton-report"),
    ),
    Option(
        "transcript",
        "output",
        "choice",
        "keep requests and responses of these clauses",
        choices=("failed", "all"),
        default="failed",
    ),
)

#: Settings without an option on the command line: ini and environment only.
INI_OPTIONS: tuple[Option, ...] = (
    Option(
        "handed-in",
        "what",
        "path",
        "directory with a benchmark and a load test that somebody hands in: BEN-01 reads it, "
        "LDT-01 runs it",
        "DIR",
        typed=False,
    ),
    Option(
        "sandbox",
        "verdict",
        "choice",
        "set by  pytest-triton grade  for the judging of a submission, which is handed-in: what keeps "
        "its server and scripts apart. In the environment only",
        choices=("bubblewrap", "none"),
        typed=False,
    ),
    Option(
        "inconclusive",
        "verdict",
        "choice",
        "what a test of your own is whose budget could not be told: failed, or expected to fail "
        "(never passed or skipped)",
        choices=("fail", "xfail"),
        default="fail",
        typed=False,
    ),
    Option(
        "budgets",
        "verdict",
        "path",
        "TOML file of budgets that LAT-02 judges: [[budget]] with model, rate or concurrency, and "
        "p95_ms, throughput_rps, error_rate …; and of objectives that SLO-01 and SLO-02 judge: "
        "[[objective]] with model, availability, p95_ms, ttft_p95_ms, itl_p95_ms …",
        "FILE",
        typed=False,
    ),
)
SETTINGS: tuple[Option, ...] = (*OPTIONS, *INI_OPTIONS)

BY_FIELD: Mapping[str, Option] = {option.field: option for option in SETTINGS}
