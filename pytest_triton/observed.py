"""A deployment as it shows itself: its models, capabilities and prerequisites; memoised."""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.pace import Pace
from pytest_triton.probe.tls import grpc_credentials, ssl_context
from pytest_triton.probe.transcript import Call, Transcript, recall, recording
from pytest_triton.probe.types import HttpAnswer, ProbeError, RequestFailed
from pytest_triton.probe_set import PROBE_MODELS, is_probe
from pytest_triton.releases import release_of
from pytest_triton.restricted import restriction
from pytest_triton.served import plain_config
from pytest_triton.served_model import ServedModel
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    from pytest_triton.monitor.metrics import Scrape

T = TypeVar("T")

#: First release seen to map errors to HTTP statuses (2.48); 2.39 does not.
MAPS_ERRORS_SINCE = "24.01"
#: First release that needs --allow-client-shm=true for regions of clients (read, not tried).
SHM_BY_FLAG_SINCE = "26.04"
#: A model that no repository has: to unload it changes nothing.
NOBODY = "pytest_triton_no_such_model"
#: What is kept of the calls behind an answer that is asked for once.
MEMORY_CALLS, MEMORY_BYTES = 16, 128 << 10
#: Environment variable in the workers of pytest-xdist: a directory that they all share.
RUN_DIRECTORY = "PYTEST_TRITON_RUN_DIRECTORY"


class Observed:
    """A deployment as it shows itself. Every answer is asked for once."""

    def __init__(self, deployment: Deployment, settings: Settings) -> None:
        self.deployment = deployment
        self.settings = settings
        files = settings.tls_ca, settings.tls_cert, settings.tls_key
        gentle = deployment.kind == "endpoint" and settings.allow_load is None
        self.pace = Pace(file=shared_pace()) if gentle else None
        self._http_options: dict[str, Any] = {
            "headers": deployment.headers,
            "ssl_context": ssl_context(*files),
            "pace": self.pace,
        }
        self.http = HttpProbe(deployment.http_url, **self._http_options)
        self.grpc = None
        if deployment.grpc_url:
            self.grpc = GrpcProbe(
                deployment.grpc_url,
                headers=deployment.headers,
                credentials=grpc_credentials(*files),
                pace=self.pace,
            )
        #: What restricted APIs have hidden from every clause.
        self.restricted: list[str] = []
        self._memory: dict[str, Any] = {}
        self._asked: dict[str, list[Call]] = {}
        self._hidden_index = ""

    def close(self) -> None:
        """Give the connections back."""
        self.http.close()
        if self.grpc:
            self.grpc.close()
        if self.pace:
            self.pace.close()

    def once(self, key: str, make: Callable[[], T]) -> T:
        """The value of ``make``, called the first time only.

        Whoever uses it again has its calls in the transcript too.
        """
        if key not in self._memory:
            with recording(Transcript(calls=MEMORY_CALLS, total=MEMORY_BYTES)) as transcript:
                self._memory[key] = make()
            self._asked[key] = [call for call, _ in transcript.calls()]
        recall(self._asked.get(key, ()))
        value: T = self._memory[key]
        return value

    @property
    def server(self) -> dict[str, Any]:
        """``GET /v2``; empty when the server does not answer it."""
        return self.once("server", self._server)

    def _server(self) -> dict[str, Any]:
        try:
            answer = self.http.server_metadata()
        except ProbeError as error:
            self._restricts(error)
            return {}
        return answer if isinstance(answer, dict) else {}

    @property
    def release(self) -> str | None:
        """The release of the version that the server names, else the one that we booted."""
        return release_of(str(self.server.get("version", ""))) or self.deployment.release

    @cached_property
    def expected(self) -> tuple[str, ...]:
        """Models that have to be there: of the repository, or of the endpoint's index."""
        names = self.deployment.models or self._listed()
        chosen = [name for name in names if fnmatch.fnmatchcase(name, self.settings.models)]
        # Some probe models fail or wait on purpose: beside others they are no subject.
        others = [name for name in chosen if not is_probe(name)]
        return tuple(others or chosen)

    @cached_property
    def serves_probes(self) -> bool:
        """Whether all probe models are ready on this server."""
        return self.listed_ready().issuperset(PROBE_MODELS)

    def listed_ready(self) -> set[str]:
        """The names of the models that are listed as ready."""
        return {str(e.get("name")) for e in self._index() if e.get("state") == "READY"}

    def _listed(self) -> tuple[str, ...]:
        """The models of an endpoint's index, without those that nobody asked it to load."""
        listed = {str(entry.get("name")) for entry in self._index()}
        return tuple(sorted(listed - set(self.never_loaded)))

    @cached_property
    def never_loaded(self) -> tuple[str, ...]:
        """Models that an endpoint lists without a state, as models under explicit control are.

        A configuration that cannot be read is listed the same way. Only a request for control
        tells the two apart, so without the permission for it they count as never loaded.
        """
        states: dict[str, bool] = {}
        for entry in self._index():
            name = str(entry.get("name"))
            states[name] = states.get(name, False) or "state" in entry
        stateless = tuple(sorted(name for name, state in states.items() if not state))
        if self.deployment.owned or (stateless and not self.loads_on_request()):
            return ()
        return stateless

    def loads_on_request(self) -> bool:
        """Whether models are loaded by request (explicit control); assumed if nobody may ask."""
        return self.once("loads on request", self._loads_on_request)

    def _loads_on_request(self) -> bool:
        if not self.settings.allow_control:
            return True
        try:
            self.http.unload(NOBODY)
        except RequestFailed as error:
            return "not allowed" not in error.message
        except ProbeError:
            pass
        return True

    @property
    def models(self) -> dict[str, ServedModel]:
        """The ready models that ``--triton-models`` selects, with their configuration."""
        return self.once("models", self._models)

    def _models(self) -> dict[str, ServedModel]:
        ready: dict[str, list[str]] = {}
        for entry in self._index():
            if entry.get("state") == "READY" and entry.get("name") in self.expected:
                ready.setdefault(entry["name"], []).append(str(entry.get("version", "1")))
        found = {}
        for name, versions in sorted(ready.items()):
            try:
                config = plain_config(self.http.model_config(name))
            except SubjectFault as error:  # CFG-01 says so
                self._restricts(error)
                continue
            ordered = tuple(sorted(dict.fromkeys(versions), key=_numeric))
            found[name] = ServedModel(name, ordered, config)
        return found

    def index(self) -> list[dict[str, Any]]:
        """The repository index as it was when first asked for; empty without an answer.

        NotAssessed where it is restricted.
        """
        found = self._index()
        if self._hidden_index:
            raise NotAssessed(Reason.BLOCKED, self._hidden_index)
        return found

    def _index(self) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            try:
                entries = self.http.index()
            except ProbeError as error:
                self._hidden_index = self._restricts(error)
                entries = self._counted() if self._hidden_index else []
            return [entry for entry in entries if isinstance(entry, dict)]

        return self.once("index", ask)

    def _counted(self) -> list[dict[str, Any]]:
        """As an index, the models that statistics tell of: those are loaded."""
        try:
            told = self.http.statistics().get("model_stats")
        except ProbeError as error:
            self._restricts(error)
            return []
        entries = [entry for entry in told if isinstance(entry, dict)] if told else []
        return [
            {**{key: e.get(key) for key in ("name", "version")}, "state": "READY"} for e in entries
        ]

    def _restricts(self, error: BaseException) -> str:
        """Remember what a restricted API hides; "" for any other error."""
        told = "" if self.deployment.owned else restriction(str(error))
        if told and told not in self.restricted:
            self.restricted.append(told)
        return told

    def _or_restricted(self, obstacle: str) -> str:
        return "; ".join((obstacle, *([] if self.models else self.restricted)))

    @property
    def hidden(self) -> str:
        """Why nothing is seen of the models, and so of what they can; "" where they are seen."""
        return "" if self.models else "; ".join(self.restricted)

    @property
    def pytorch(self) -> dict[str, ServedModel]:
        """The ready models of the PyTorch backend."""
        return {name: model for name, model in self.models.items() if model.is_pytorch}

    @property
    def unary(self) -> dict[str, ServedModel]:
        """The ready models that answer one request with one response, without a state."""
        return {
            name: model
            for name, model in self.models.items()
            if not model.decoupled and not model.stateful
        }

    @cached_property
    def expected_version(self) -> str | None:
        """The server version that was booted; None for an endpoint or an unknown release."""
        if not self.deployment.owned or not self.deployment.release:
            return None
        from pytest_triton.launch.store import RELEASES as INSTALLABLE

        release = INSTALLABLE.get(self.deployment.release)
        return release.version if release else None

    @property
    def maps_errors(self) -> bool:
        """Whether HTTP tells kinds of errors apart; 23.10 answers 400 to everything."""
        return self.release is None or self.release >= MAPS_ERRORS_SINCE

    def error_status(self, status: int) -> int:
        """The HTTP status of an error on this release, e.g. 404 where errors are mapped."""
        return status if self.maps_errors else 400

    def metrics_page(self) -> HttpAnswer:
        """The metrics page as it is on the wire."""
        url = urlsplit(str(self.deployment.metrics_url))
        with HttpProbe(f"{url.scheme}://{url.netloc}", **self._http_options) as probe:
            return probe.request("GET", url.path or "/metrics")

    def scrape(self) -> Scrape:
        """The metrics now. Raises a fault of the subject."""
        from pytest_triton.monitor.metrics import scrape

        with self.pace or nullcontext():
            return scrape(
                str(self.deployment.metrics_url),
                headers=self.deployment.headers,
                ssl_context=self._http_options["ssl_context"],
            )

    def permit(self, in_flight: int) -> None:
        """NotAssessed where --triton-allow-load allows fewer requests in flight."""
        allowed = self.settings.allow_load
        if self.deployment.kind == "endpoint" and allowed and allowed < in_flight:
            raise NotAssessed(
                Reason.NEEDS_LOAD,
                f"needs {in_flight} requests in flight, --triton-allow-load {allowed} allows fewer",
            )

    def has_endpoint(self, name: str) -> bool:
        """Whether a URL is known for ``grpc`` or ``metrics``."""
        return bool(getattr(self.deployment, f"{name}_url"))

    def capability(self, name: str) -> bool:
        """One of :data:`~pytest_triton.criteria.catalogue.CAPABILITIES`."""
        models = self.models.values
        answers: dict[str, Callable[[], bool]] = {
            "owned": lambda: self.deployment.owned,
            "reference": lambda: self.deployment.kind == "reference",
            "repository": lambda: self.deployment.repository is not None,
            "eager": lambda: self.once("eager", self.knows_answers),
            "pytorch": lambda: bool(self.pytorch),
            "unary": lambda: bool(self.unary),
            "json": lambda: self.once("json", self.speaks_json),
            "batching": lambda: any(model.max_batch_size > 0 for model in models()),
            "dynamic_batching": lambda: any(m.dynamic_batching for m in self.pytorch.values()),
            "versions": lambda: any(len(model.versions) > 1 for model in models()),
            "ensemble": lambda: any(model.is_ensemble for model in models()),
            "decoupled": lambda: any(model.decoupled for model in models()),
            "labels": lambda: any(model.labelled_outputs for model in models()),
            "gpu": lambda: self.once("gpu", self._has_gpu),
            "probes": lambda: self.deployment.owned or self.serves_probes,
            "shared_memory": lambda: self.once("shared memory", self._shares_memory),
        }
        return answers[name]()

    def knows_answers(self) -> bool:
        """Whether right answers are known; a subject that can be asked knows more."""
        return self.deployment.kind == "reference"

    def speaks_json(self) -> bool:
        """Whether a model's tensors travel as JSON; a subject that can be asked knows."""
        return bool(self.unary)

    def _has_gpu(self) -> bool:
        if self.deployment.owned and self.deployment.device == "gpu":
            return True  # whatever its metrics say
        if not self.deployment.metrics_url:
            return False
        try:
            return "nv_gpu_memory_total_bytes" in self.scrape().families
        except SubjectFault:
            return False

    def _shares_memory(self) -> bool:
        """Whether the server can see this machine's /dev/shm, and lets clients use it.

        A server of ours does, so that a refusal is its fault. An endpoint is asked, where that
        is allowed: only an answer that speaks of another place or of a permission is a no.
        """
        if self.deployment.owned:
            return self.release is None or self.release < SHM_BY_FLAG_SINCE
        if not self.settings.allow_control:
            return False
        return self._takes_regions()

    def _takes_regions(self) -> bool:
        from pytest_triton.probe.regions import SharedRegion

        with suppress(OSError), SharedRegion(64) as region:
            path = f"/v2/systemsharedmemory/region/{region.name}"
            body = {"key": region.key, "offset": 0, "byte_size": region.size}
            try:
                answer = self.http.request(
                    "POST", f"{path}/register", body=json.dumps(body).encode()
                )
            except ProbeError:
                return True  # the clauses say what is wrong
            finally:
                with suppress(ProbeError):
                    self.http.request("POST", f"{path}/unregister", body=b"{}")
            if restriction(answer.speaker):
                return True  # the clauses say which header it takes
            elsewhere = "unable to open" in (answer.error or "").lower()
            return not elsewhere and answer.status not in (401, 403, 404, 405, 501)
        return False

    def obstacle(self, prerequisite: str) -> str | None:
        """None if the prerequisite holds, else what stands in the way."""
        probes: dict[str, Callable[[], str | None]] = {
            "http": self._answers,
            "live": self._live,
            "grpc": self._grpc_live,
            "metrics": self._metrics,
            "model": lambda: None if self.models else self._or_restricted("no model is ready"),
            "pytorch": lambda: (
                None if self.pytorch else self._or_restricted("no PyTorch model is ready")
            ),
        }
        return self.once(f"prerequisite {prerequisite}", probes[prerequisite])

    def _live(self) -> str | None:
        if obstacle := self.obstacle("http"):
            return obstacle
        if not self.server and not self._index():
            if self.restricted:
                return self._or_restricted("nothing is told of the server and its models")
            return (
                "what answers is no server of the v2 protocol: GET /v2 is no JSON object (MET-01)"
            )
        return None

    def _answers(self) -> str | None:
        try:
            answer = self.http.request("GET", "/v2/health/live")
            if answer.status == 200:
                return None
            told = restriction(answer.speaker)
            return f"the server is not live on HTTP: {answer.status}{answer.speaker}" + (
                f": {told}" if told else ""
            )
        except ProbeError as error:
            return f"the server does not answer on HTTP: {error}"

    def _grpc_live(self) -> str | None:
        if self.grpc is None:
            return "no gRPC endpoint is known"
        try:
            return None if self.grpc.live() else "the server is not live on gRPC"
        except ProbeError as error:
            told = restriction(str(error))
            return f"the server does not answer on gRPC: {told or error}"

    def _metrics(self) -> str | None:
        try:
            status = self.metrics_page().status
        except SubjectFault as error:
            return f"the metrics endpoint does not answer: {error}"
        return None if status == 200 else f"the metrics endpoint answers {status}"


def _numeric(version: str) -> int:
    number = version.isascii() and version.isdigit() and len(version) <= 18
    return int(version) if number else -1


def shared_pace() -> Path | None:
    """The file by which the workers of pytest-xdist take turns; None in a single process."""
    directory = os.environ.get(RUN_DIRECTORY)
    return Path(directory) / "pace" if directory else None
