"""Where a fault shows: index, readiness, log, counters, and what clients are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.drills.bystander import Known
from pytest_triton.monitor.metrics import Scrape
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import ConnectionFailed, ProbeError, RequestFailed
from pytest_triton.subject import Subject

FAILURES = "nv_inference_request_failure"
PENDING = "nv_inference_pending_request_count"
#: Lines of the log that a timeline keeps, and characters of each text.
_LINES, _CHARACTERS = 6, 400


@dataclass(slots=True)
class Place:
    """Where one drill takes place: a model of the drill server, and what is known of it."""

    server: Subject
    repository: Path
    model: str
    #: The subject's model that files are copied from, and what it answers.
    original: Path
    known: Known
    log_from: int = 0
    before: Scrape | None = None
    #: What a client was told: of the load, and of requests (status, text; 0: no whole answer).
    load: str = ""
    told: list[tuple[int, str]] = field(default_factory=list)
    answers: int = 0
    pending: float = 0.0

    @property
    def directory(self) -> Path:
        return self.repository / self.model

    def finds(self, pattern: str, text: str) -> bool:
        """Whether a pattern, with this model's name put in, is found in a text."""
        return bool(re.search(pattern.replace("{model}", re.escape(self.model)), text))

    def watch(self) -> None:
        """From here on the log is read and failures are counted."""
        self.log_from = len(self.server.deployment.log_text())
        self.before = self.server.scrape()
        self.load, self.told, self.answers, self.pending = "", [], 0, 0.0

    def ask(self, request: Callable[[], object]) -> None:
        """Make a request and keep what the client is told."""
        try:
            request()
        except RequestFailed as error:
            self.told.append((int(error.status), error.message))
        except ConnectionFailed as error:
            self.told.append((0, str(error)))
        else:
            self.answers += 1


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at every place."""

    live: int
    server_ready: int
    model_ready: int
    state: str
    reason: str
    log: tuple[str, ...]
    failures: float


def look(place: Place) -> Sight:
    """Look once. Raises a ProbeError when the server does not answer."""
    http = place.server.http
    listed = [one for one in http.index() if isinstance(one, dict)]
    mine = [one for one in listed if one.get("name") == place.model]
    latest = mine[-1] if mine else {}
    log = place.server.deployment.log_text()[place.log_from :].splitlines()
    now = place.server.scrape().value(FAILURES, model=place.model) or 0.0
    before = place.before.value(FAILURES, model=place.model) if place.before else None
    return Sight(
        live=http.request("GET", "/v2/health/live").status,
        server_ready=http.request("GET", "/v2/health/ready").status,
        model_ready=http.request("GET", f"{model_path(place.model)}/ready").status,
        state=str(latest.get("state", "")),
        reason=str(latest.get("reason", "")),
        log=tuple(line for line in log if _tells(line, place.model)),
        failures=now - (before or 0.0),
    )


def _tells(line: str, model: str) -> bool:
    return model in line or line.startswith(("E", "[libprotobuf ERROR", "error: "))


@dataclass(frozen=True, slots=True)
class Shows:
    """Where a fault has to show. Patterns, in which ``{model}`` is its name; "" and None ask
    nothing: there Triton is silent.

    ``load`` is the refusal of the load (the model's name is asked for too), ``client`` the
    one of a request, with its ``status``; ``state`` of the index, with its ``reason``.
    ``unanswered``: no answer tells as much as a refusal, and is not counted.
    """

    load: str = ""
    client: str = ""
    status: int = 0
    state: str = ""
    reason: str = ""
    log: str = ""
    model_ready: bool | None = None
    server_ready: bool | None = None
    failures: bool = False
    pending: bool = False
    unanswered: bool = False

    def missing(self, place: Place, sight: Sight) -> list[str]:
        """Places where the fault does not show."""
        found = [] if sight.live == 200 else [f"liveness answers {sight.live}"]
        if self.load and not (place.finds(self.load, place.load) and place.model in place.load):
            told = f"is refused with {_short(place.load)!r}" if place.load else "is no failure"
            found.append(f"the load {told}, not with {place.model} and {self.load!r}")
        found += self._client(place)
        if self.state and sight.state != self.state:
            found.append(f"the index says {sight.state or 'nothing'}, not {self.state}")
        if not place.finds(self.reason, sight.reason):
            found.append(f"the index gives the reason {_short(sight.reason)!r}: no {self.reason!r}")
        if self.log and not any(place.finds(self.log, line) for line in sight.log):
            found.append(f"no line of the log has {self.log!r}")
        for wanted, status, what in (
            (self.model_ready, sight.model_ready, "the model's readiness"),
            (self.server_ready, sight.server_ready, "the server's readiness"),
        ):
            if wanted is not None and wanted != (status == 200):
                found.append(f"{what} answers {status}")
        if self.failures and sight.failures < 1 and not self._hangs(place):
            found.append(f"{FAILURES} rose by {sight.failures:g}")
        if self.pending and place.pending < 1:
            found.append(f"{PENDING} was {place.pending:g} while requests waited")
        return found

    def _hangs(self, place: Place) -> bool:
        return self.unanswered and any(code == 0 for code, _ in place.told)

    def _client(self, place: Place) -> list[str]:
        if not self.client or self._hangs(place):
            return []
        status = place.server.error_status(self.status)
        if any(code == status and place.finds(self.client, text) for code, text in place.told):
            return []
        told = "; ".join(dict.fromkeys(f"{code} {_short(text)!r}" for code, text in place.told))
        return [f"clients are told {told or 'nothing'}, not {status} with {self.client!r}"]


def shown(place: Place, sight: Sight) -> dict[str, Any]:
    """What was seen, for a timeline; silent places too."""
    return {
        **asdict(sight),
        "reason": _short(sight.reason),
        "log": [_short(line) for line in sight.log[:_LINES]],
        "load": _short(place.load),
        "clients_told": [f"{code} {_short(text)}" for code, text in place.told],
        "answers": place.answers,
        "pending": place.pending,
    }


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"


def refusal(call: Callable[[], object]) -> str:
    """The text with which a call is refused; "" when it is not."""
    try:
        call()
    except ProbeError as error:
        return str(error)
    return ""
