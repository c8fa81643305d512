"""LDT-01: a load-test script, run against the server and against two that do not work."""

from __future__ import annotations

import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from pytest_triton.counting import QUIET, SETTLE
from pytest_triton.criteria import Inconclusive, NotAssessed, Reason
from pytest_triton.errors import ToolError
from pytest_triton.evidence import Evidence
from pytest_triton.handed_in import HandedIn
from pytest_triton.load.scripts.running import NoLocust, Ran, Target, ran
from pytest_triton.load.scripts.told import Told, told
from pytest_triton.measuring import heaviest_of, permitted
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.subject import Subject

#: Users that a script is asked for, and seconds, alike for each server: it must not know which it is.
USERS, SECONDS = 10, 4
#: Share by which its count may differ from the server's, and of errors.
COUNT, ERRORS = 0.01, 0.01
#: Requests of each user, at least.
EACH = 2
#: Characters of its output that a reason quotes.
_QUOTED = 300


class Seen(NamedTuple):
    """Requests that a server counted, ``failed`` among them."""

    total: int
    failed: int


#: Of a model that nobody asked.
NONE = Seen(0, 0)


def model_of(handed: HandedIn, subject: Subject) -> str:
    """The model that a script is told: of the manifest, of its own text, or one of ours."""
    if handed.load_model:
        assert handed.load_model in subject.models, (
            f"the load test is of {handed.load_model!r}, ready are {', '.join(subject.models)}"
        )
        return handed.load_model
    assert handed.load_test is not None
    text = handed.load_test.read_text("utf-8", errors="replace")
    spoken = [name for name in subject.models if re.search(rf"\b{re.escape(name)}\b", text)]
    if spoken:
        return max(spoken, key=len)
    return heaviest_of(subject, subject.pytorch or subject.unary or subject.models)[0]


def requests_seen(subject: Subject) -> dict[str, Seen]:
    """Requests by model, once they no longer change."""
    deadline = time.monotonic() + SETTLE
    seen = _requests(subject)
    while time.monotonic() < deadline:
        time.sleep(QUIET)
        before, seen = seen, _requests(subject)
        if before == seen:
            break
    return seen


def _requests(subject: Subject) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    try:
        for entry in subject.http.statistics()["model_stats"]:
            stats = entry["inference_stats"]
            good, bad = (int(stats[kind].get("count", 0)) for kind in ("success", "fail"))
            before = found.get(entry["name"], NONE)
            found[entry["name"]] = Seen(before.total + good + bad, before.failed + bad)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedAnswer(f"statistics cannot be read: {error!r}") from None
    return found


def arrived(
    subject: Subject, before: Mapping[str, Seen], after: Mapping[str, Seen]
) -> dict[str, Seen]:
    """Requests of clients, by model: what an ensemble asked of its steps is not theirs."""
    rose = {
        name: Seen(seen.total - was.total, seen.failed - was.failed)
        for name, seen in after.items()
        if seen.total > (was := before.get(name, NONE)).total
    }
    steps = {
        str(step.get("model_name"))
        for name in rose
        if name in subject.models and subject.models[name].is_ensemble
        for step in subject.models[name].config.get("ensemble_scheduling", {}).get("step", ())
    }
    return {name: seen for name, seen in rose.items() if name not in steps}


def judge(subject: Subject, handed: HandedIn, evidence: Evidence) -> None:
    """Run the script three times; findings go to ``evidence``, one for each server."""
    assert handed.load_test is not None
    model = model_of(handed, subject)
    evidence.locate(str(handed.load_test.relative_to(handed.directory)))
    users = permitted(subject.settings, USERS)
    if users < USERS:
        raise NotAssessed(
            Reason.NEEDS_LOAD, f"{USERS} users are asked for: say --triton-allow-load {USERS}"
        )
    grpc = subject.deployment.grpc_url or ""
    url = subject.deployment.http_url
    try:
        with evidence.case("the server"):
            _against_it(subject, handed, Target(url, grpc, model, users, SECONDS), evidence)
        with _refusing() as port, evidence.case("a server that is not there"):
            dead = f"127.0.0.1:{port}"
            _against_broken(
                handed,
                Target(f"http://{dead}", dead, model, users, SECONDS),
                "gone",
                evidence,
            )
        with _answering_500() as port, _refusing() as closed:
            with evidence.case("a server that answers 500"):
                target = Target(
                    f"http://127.0.0.1:{port}", f"127.0.0.1:{closed}", model, users, SECONDS
                )
                _against_broken(handed, target, "500", evidence)
    except NoLocust as error:
        raise NotAssessed(
            Reason.BLOCKED, f"{error.message}: {error.remedy}, or put locust on PATH"
        ) from None


def _against_it(subject: Subject, handed: HandedIn, target: Target, evidence: Evidence) -> None:
    assert handed.load_test is not None
    before = requests_seen(subject)
    with ran(handed.directory, handed.load_test, target) as run:
        _keep(evidence, "healthy", run)
        came = arrived(subject, before, requests_seen(subject))
        assert not run.fault, f"{run.fault}{_quoted(run)}"
        assert run.status == 0, f"exit status {run.status}{_quoted(run)}"
        said = _said(run)
        opened = run.connections
    seen, failed = (sum(values) for values in zip(NONE, *came.values(), strict=True))
    assert said is not None, (
        "it says no number of requests: print  requests: N , or write Locust's or our JSON"
    )
    evidence.measure("requests said", said.requests, "requests")
    evidence.measure("requests at the server", seen, "requests", budget=said.requests)
    assert said.requests > 0, f"{said.where}: 0 requests"
    models = ", ".join(f"{one.total} to {name}" for name, one in sorted(came.items())) or "none"
    if seen > (1 + COUNT) * said.requests and not subject.deployment.owned:
        raise Inconclusive(
            f"{said.where}: {said.requests} requests, the server counted {seen} ({models}): others "
            "may use it too"
        )
    assert said.requests >= EACH * max(said.users, 1), (
        f"{said.where}: {said.requests} requests of {said.users} users in {SECONDS:g} s, at least "
        f"{EACH} of each are asked for"
    )
    assert abs(seen - said.requests) <= COUNT * said.requests, (
        f"{said.where}: {said.requests} requests, the server counted {seen} ({models})"
    )
    assert said.errors < ERRORS * said.requests, (
        f"{said.where}: {said.errors} of {said.requests} requests failed"
    )
    assert failed < ERRORS * seen or failed <= said.errors, (
        f"{said.where}: {said.errors} errors, and the server failed {failed} of {seen} requests"
    )
    assert said.users >= USERS or said.levels >= 2, (
        f"{said.where}: {said.users} users at one level, at least {USERS} users or two levels are "
        "asked for: read USERS, and print  users: N"
    )
    http, grpc = (opened.get(port, 0) for port in target.ports)
    evidence.measure("connections", http + grpc, "connections")
    # over gRPC users may share one, over HTTP a connection has one request in flight
    assert grpc or http >= (least := min(said.users, USERS)), (
        f"{said.where}: {said.users} users, and {http} connections were opened: at most {http} "
        f"requests can have been in flight, {least} are asked for"
    )


def _against_broken(handed: HandedIn, target: Target, name: str, evidence: Evidence) -> None:
    """Exit status other than 0, or errors that it reports."""
    assert handed.load_test is not None
    with ran(handed.directory, handed.load_test, target, strict=True) as run:
        _keep(evidence, name, run)
        assert not run.fault, f"{run.fault}{_quoted(run)}"
        if run.status != 0:
            return
        said = _said(run)
    silent = "it ends with status 0 and reports no error"
    assert said is not None, silent
    assert said.errors, silent
    assert said.errors >= said.requests, (
        f"{said.where}: {said.errors} of {said.requests} requests failed, of which none can succeed"
    )


def _said(run: Ran) -> Told | None:
    try:
        return told(run)
    except ToolError as error:
        raise AssertionError(str(error)) from None


def _keep(evidence: Evidence, name: str, run: Ran) -> None:
    text = f"exit status {run.status}, {run.seconds:.1f} s {run.stopped}\n"
    evidence.attach(f"{name}.txt", f"{text}--- stdout\n{run.stdout}\n--- stderr\n{run.stderr}")


def _quoted(run: Ran) -> str:
    lines = (run.stderr or run.stdout).strip().splitlines()
    return f": {lines[-1][:_QUOTED]}" if lines else ""


@contextmanager
def _refusing() -> Iterator[int]:
    """A port of the loopback interface that refuses: bound, and nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


class _Broken(http.server.BaseHTTPRequestHandler):
    """Answers 500 to everything, as Triton words an error."""

    protocol_version = "HTTP/1.1"
    timeout = 10

    def _answer(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (data := self.rfile.read(min(left, 1 << 16))):
            left -= len(data)
        body = b'{"error":"internal"}'
        self.send_response(500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


@contextmanager
def _answering_500() -> Iterator[int]:
    server = _Quiet(("127.0.0.1", 0), _Broken)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
