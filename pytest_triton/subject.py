"""The subject as the clauses see it: probes, models, capabilities, prerequisites; memoised."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault
from pytest_triton.export.oracle import ReferenceProcess
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe, model_path
from pytest_triton.probe.inputs import InputCase, InputSource
from pytest_triton.probe.message import encode_infer
from pytest_triton.probe.types import HttpAnswer, InferResult, ProbeError, RequestFailed
from pytest_triton.repository.layout import model_directory
from pytest_triton.repository.reference import reference_models
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from pytest_triton.monitor.metrics import Scrape

T = TypeVar("T")

#: A JSON tensor of more elements is text of megabytes.
MAX_JSON_ELEMENTS = 100_000

#: Triton's release of each server version that has been out; the version is the identity.
RELEASES = {
    "2.39": "23.10", "2.40": "23.11", "2.41": "23.12", "2.42": "24.01", "2.43": "24.02",
    "2.44": "24.03", "2.45": "24.04", "2.46": "24.05", "2.47": "24.06", "2.48": "24.07",
    "2.49": "24.08", "2.50": "24.09", "2.51": "24.10", "2.52": "24.11", "2.53": "24.12",
    "2.54": "25.01", "2.55": "25.02", "2.56": "25.03", "2.57": "25.04", "2.58": "25.05",
    "2.59": "25.06", "2.60": "25.07", "2.61": "25.08", "2.62": "25.09", "2.63": "25.10",
    "2.64": "25.12", "2.65": "26.01", "2.66": "26.02", "2.67": "26.03", "2.68": "26.04",
    "2.69": "26.05", "2.70": "26.06", "2.71": "26.07", "2.72": "26.08",
}  # fmt: skip


def release_of(version: str) -> str | None:
    """Release of a server version, e.g. "2.51.0" -> "24.10"; None when it is not known."""
    return RELEASES.get(".".join(version.split(".")[:2]))


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A ready model as the server tells it. ``versions`` are the ready ones, in order."""

    name: str
    versions: tuple[str, ...]
    config: dict[str, Any]

    @property
    def max_batch_size(self) -> int:
        """0: the model does not batch."""
        return int(self.config.get("max_batch_size", 0))

    @property
    def is_ensemble(self) -> bool:
        return self.config.get("platform") == "ensemble"

    @property
    def is_pytorch(self) -> bool:
        return (
            self.config.get("backend") == "pytorch"
            or self.config.get("platform") == "pytorch_libtorch"
        )

    @property
    def decoupled(self) -> bool:
        return bool(self.config.get("model_transaction_policy", {}).get("decoupled"))

    @property
    def dynamic_batching(self) -> bool:
        return "dynamic_batching" in self.config and self.max_batch_size > 1

    @property
    def stateful(self) -> bool:
        return "sequence_batching" in self.config

    @property
    def labelled_outputs(self) -> tuple[str, ...]:
        """Outputs that have a file of labels."""
        return tuple(
            entry["name"] for entry in self.config.get("output", ()) if entry.get("label_filename")
        )


class Subject:
    """One deployment under judgement. Thread-compatible; every answer is asked for once."""

    def __init__(self, deployment: Deployment, settings: Settings) -> None:
        self.deployment = deployment
        self.settings = settings
        headers = deployment.headers
        self.http = HttpProbe(deployment.http_url, headers=headers)
        self.grpc = GrpcProbe(deployment.grpc_url, headers=headers) if deployment.grpc_url else None
        self._memory: dict[str, Any] = {}
        self._oracle: ReferenceProcess | None = None

    def close(self) -> None:
        """Give the connections back."""
        self.http.close()
        if self._oracle is not None:
            self._oracle.close()
        if self.grpc:
            self.grpc.close()

    def _once(self, key: str, make: Callable[[], T]) -> T:
        if key not in self._memory:
            self._memory[key] = make()
        value: T = self._memory[key]
        return value

    @cached_property
    def server(self) -> dict[str, Any]:
        """``GET /v2``; empty when the server does not answer it."""
        try:
            answer = self.http.server_metadata()
        except ProbeError:
            return {}
        return answer if isinstance(answer, dict) else {}

    @property
    def release(self) -> str | None:
        """The release of the version that the server names, else the one that we booted."""
        return release_of(str(self.server.get("version", ""))) or self.deployment.release

    @cached_property
    def expected(self) -> tuple[str, ...]:
        """Models that have to be there: of the repository, or of the endpoint's index."""
        names = self.deployment.models or tuple(
            sorted({str(entry.get("name")) for entry in self._index()})
        )
        return tuple(name for name in names if fnmatch.fnmatchcase(name, self.settings.models))

    @cached_property
    def models(self) -> dict[str, ServedModel]:
        """The ready models that ``--triton-models`` selects, with their configuration."""
        ready: dict[str, list[str]] = {}
        for entry in self._index():
            if entry.get("state") == "READY" and entry.get("name") in self.expected:
                ready.setdefault(entry["name"], []).append(str(entry.get("version", "1")))
        found = {}
        for name, versions in sorted(ready.items()):
            try:
                config = self.http.model_config(name)
            except ProbeError:
                continue
            if isinstance(config, dict):
                found[name] = ServedModel(name, tuple(sorted(versions, key=_numeric)), config)
        return found

    def index(self) -> list[dict[str, Any]]:
        """The repository index as it was when first asked for; empty without an answer."""
        return self._index()

    def _index(self) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            try:
                entries = self.http.index()
            except ProbeError:
                return []
            return [entry for entry in entries if isinstance(entry, dict)]

        return self._once("index", ask)

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

    # -- asking ----------------------------------------------------------------------------

    @cached_property
    def source(self) -> InputSource:
        """Where inputs come from, in the order of DESIGN.md 2."""
        return InputSource(
            repository=self.deployment.repository,
            inputs_file=self.settings.inputs,
            seed=self.settings.seed,
        )

    def metadata(self, model: str) -> dict[str, Any]:
        """The metadata of a ready model; asked for once."""
        return self._once(f"metadata {model}", lambda: self.http.model_metadata(model))

    def cases(self, model: str, *, batch: int | None = None, version: str = "") -> list[InputCase]:
        """Inputs for a ready model from the best source; never empty."""
        return self.source.cases(
            model, self.metadata(model), self.models[model].config, batch=batch, version=version
        )

    def case(self, model: str, *, batch: int | None = None, version: str = "") -> InputCase:
        """One request for a ready model: one row, unless ``batch`` says otherwise."""
        wanted = batch if batch is not None else (1 if self.models[model].max_batch_size else None)
        return self.cases(model, batch=wanted, version=version)[0]

    def batches(self, model: str) -> list[InputCase]:
        """Requests at batch 1, 2 and the maximum (one request for a model that does not batch)."""
        most = self.models[model].max_batch_size
        if most < 1:
            return self.cases(model)
        sizes = dict.fromkeys((1, min(2, most), most))
        return [self.cases(model, batch=size)[at % 2 and -1] for at, size in enumerate(sizes)]

    @property
    def failures_have_reasons(self) -> bool:
        """Whether this release labels failures with a reason."""
        from pytest_triton.monitor.expected import REASONS_SINCE

        return self.release is None or self.release >= REASONS_SINCE

    def distinct(self, model: str, count: int, *, batch: int = 1) -> list[InputCase]:
        """Different requests of equal shapes."""
        return self.source.distinct(
            model, self.metadata(model), self.models[model].config, count=count, batch=batch
        )

    def answer(
        self, model: str, case: InputCase, *, protocol: Any = None, **keywords: Any
    ) -> InferResult:
        """Infer. An error answer to generated inputs is NotAssessed, never the model's fault."""
        try:
            answer: InferResult = (protocol or self.http).infer(model, case.inputs, **keywords)
        except RequestFailed as error:
            if case.provenance != "generated":
                raise
            raise NotAssessed(
                Reason.NO_INPUTS,
                f"{model} refuses generated inputs ({error}): give --triton-inputs FILE",
            ) from None
        return answer

    def load(self, model: str) -> None:
        """Load a model, with the deadline of a boot: an import of torch may be part of it."""
        self.http.load(model, timeout=self.settings.boot_timeout)

    def unary_cases(self) -> list[tuple[str, InputCase]]:
        """One request for every ready model that answers one request with one response."""
        return [(name, self.case(name)) for name in self.unary]

    def json_cases(self) -> list[tuple[str, InputCase]]:
        """Those of :meth:`unary_cases` whose tensors can all travel as JSON, and are not large."""
        chosen = []
        for name, case in self.unary_cases():
            metadata = self.metadata(name)
            types = {tensor["datatype"] for tensor in metadata["inputs"] + metadata["outputs"]}
            size = sum(as_tensor(value).array.size for value in case.inputs.values())
            if not types & {"FP16", "BF16"} and size <= MAX_JSON_ELEMENTS:
                chosen.append((name, case))
        return chosen

    def post(self, path: str, document: Any) -> HttpAnswer:
        """POST a document as JSON; the answer as it is on the wire."""
        body = json.dumps(document).encode()
        return self.http.request("POST", path, body=body, headers={})

    def required_inputs(self, model: str) -> int:
        """How many inputs a request must have."""
        inputs = self.models[model].config.get("input", [])
        return sum(1 for entry in inputs if not entry.get("optional"))

    def labels(self, model: str, output: str) -> list[str] | None:
        """The labels of an output, one for each line of its file; None if it is not at hand."""
        repository = self.deployment.repository
        if repository is None:
            return None
        entries = self.models[model].config["output"]
        name = next(entry["label_filename"] for entry in entries if entry["name"] == output)
        return (repository / model / name).read_text("utf-8").splitlines()

    @cached_property
    def was_ready(self) -> bool:
        """Whether the server was ready when that was first asked."""
        return self.http.ready()

    def http_infer(
        self, model: str, case: InputCase, *, version: str = "", **keywords: Any
    ) -> HttpAnswer:
        """Inference over HTTP, the answer as it is on the wire, whatever its status."""
        headers, body = encode_infer(case.inputs, **keywords)
        path = f"{model_path(model, version)}/infer"
        return self.http.request("POST", path, body=body, headers=headers)

    def withheld(self, model: str) -> tuple[str, ...]:
        """Versions that are on disk and not served."""
        repository = self.deployment.repository
        if repository is None:
            return ()
        served = self.models[model].versions
        present = model_directory(repository / model).versions
        return tuple(str(version) for version in present if str(version) not in served)

    def reference(
        self, model: str, version: str, case: InputCase
    ) -> Mapping[str, np.ndarray[Any, Any]] | None:
        """What the eager module answers, or what the case itself expects; None: nobody knows."""
        if self.deployment.kind != "reference":
            return case.expected if not version else None
        if model not in reference_models():
            return None
        if self._oracle is None:
            self._oracle = ReferenceProcess()
        arrays = {name: as_tensor(value).array for name, value in case.inputs.items()}
        chosen = version or self.models[model].versions[-1]
        return self._oracle.run(model, int(chosen), arrays)

    @cached_property
    def expected_version(self) -> str | None:
        """The server version that was booted; None for an endpoint or an unknown release."""
        if not self.deployment.owned or not self.deployment.release:
            return None
        from pytest_triton.launch.store import RELEASES as INSTALLABLE

        release = INSTALLABLE.get(self.deployment.release)
        return release.version if release else None

    def metrics_page(self) -> HttpAnswer:
        """The metrics page as it is on the wire."""
        url = urlsplit(str(self.deployment.metrics_url))
        with HttpProbe(f"{url.scheme}://{url.netloc}", headers=self.deployment.headers) as probe:
            return probe.request("GET", url.path or "/metrics")

    def scrape(self) -> Scrape:
        """The metrics now. Raises a fault of the subject."""
        from pytest_triton.monitor.metrics import scrape

        return scrape(str(self.deployment.metrics_url), headers=self.deployment.headers)

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
            "eager": lambda: self.deployment.kind == "reference",
            "pytorch": lambda: bool(self.pytorch),
            "batching": lambda: any(model.max_batch_size > 0 for model in models()),
            "dynamic_batching": lambda: any(m.dynamic_batching for m in self.pytorch.values()),
            "versions": lambda: any(len(model.versions) > 1 for model in models()),
            "ensemble": lambda: any(model.is_ensemble for model in models()),
            "decoupled": lambda: any(model.decoupled for model in models()),
            "labels": lambda: any(model.labelled_outputs for model in models()),
            "gpu": lambda: self._once("gpu", self._has_gpu),
        }
        return answers[name]()

    def _has_gpu(self) -> bool:
        if not self.deployment.metrics_url:
            return False
        try:
            return "nv_gpu_memory_total_bytes" in self.scrape().families
        except SubjectFault:
            return False

    def obstacle(self, prerequisite: str) -> str | None:
        """None if the prerequisite holds, else what stands in the way."""
        probes: dict[str, Callable[[], str | None]] = {
            "live": self._live,
            "grpc": self._grpc_live,
            "metrics": self._metrics,
            "model": lambda: None if self.models else "no model is ready",
            "pytorch": lambda: None if self.pytorch else "no PyTorch model is ready",
        }
        return self._once(f"prerequisite {prerequisite}", probes[prerequisite])

    def _live(self) -> str | None:
        try:
            return None if self.http.live() else "the server is not live on HTTP"
        except ProbeError as error:
            return f"the server does not answer on HTTP: {error}"

    def _grpc_live(self) -> str | None:
        if self.grpc is None:
            return "no gRPC endpoint is known"
        try:
            return None if self.grpc.live() else "the server is not live on gRPC"
        except ProbeError as error:
            return f"the server does not answer on gRPC: {error}"

    def _metrics(self) -> str | None:
        try:
            self.metrics_page()
        except SubjectFault as error:
            return f"the metrics endpoint does not answer: {error}"
        return None


def _numeric(version: str) -> int:
    return int(version) if version.isdigit() else -1
