"""The subject as the clauses see it: what is observed, and how it is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.observed import Observed
from pytest_triton.probe.cases import stack
from pytest_triton.probe.codec import as_tensor, encode_raw
from pytest_triton.probe.http import model_path
from pytest_triton.probe.inputs import InputCase, InputSource
from pytest_triton.probe.message import encode_infer
from pytest_triton.probe.types import (
    HttpAnswer,
    InferResult,
    MalformedAnswer,
    ProbeError,
    RequestFailed,
)
from pytest_triton.references import References
from pytest_triton.repository.layout import model_directory
from pytest_triton.served import well_formed_tensors
from pytest_triton.settings import Settings

T = TypeVar("T")

#: A JSON tensor of more elements is text of megabytes.
MAX_JSON_ELEMENTS = 100_000


#: Rows, and bytes, of the largest request that is made to see a model's maximum batch.
MAX_ROWS, MAX_REQUEST = 1024, 64 << 20
#: Rows that are drawn for a comparison with the reference, at least.
DRAWN = 32


class Subject(Observed):
    """One deployment under judgement: requests whose inputs make sense, and their answers."""

    def __init__(self, deployment: Deployment, settings: Settings) -> None:
        super().__init__(deployment, settings)
        self.references = References(deployment.kind, deployment.repository)

    def expect_reference(self) -> None:
        """Start the oracle now: it imports torch while other clauses are judged."""
        self.references.start()

    def knows_answers(self) -> bool:
        """Whether right answers are known for a PyTorch model: see :class:`References`."""
        if self.deployment.kind == "reference" or self.references.has_scripts(self.pytorch):
            return True
        return any(case.expected for name in self.pytorch for case in self.cases(name))

    def close(self) -> None:
        """Give the connections and the processes of references back."""
        self.references.close()
        super().close()

    @cached_property
    def source(self) -> InputSource:
        """Where inputs come from, the best source first."""
        return InputSource(
            repository=self.deployment.repository,
            inputs_file=self.settings.inputs,
            seed=self.settings.seed,
            # Who hands in a model does not say what is right.
            trusted=self.settings.kind != "submission",
        )

    def metadata(self, model: str) -> dict[str, Any]:
        """The metadata of a ready model; asked for once. Nonsense blocks: MET-03 says so."""
        return self.once(f"metadata {model}", lambda: self._metadata(model))

    def _metadata(self, model: str) -> dict[str, Any]:
        try:
            told = dict(well_formed_tensors(self.http.model_metadata(model)))
        except MalformedAnswer as error:
            raise NotAssessed(Reason.BLOCKED, f"{model}: {error}") from None
        return {**told, "versions": list(self.models[model].versions)}

    def cases(self, model: str, *, batch: int | None = None, version: str = "") -> list[InputCase]:
        """Inputs for a ready model from the best source; never empty."""
        return self.source.cases(
            model, self.metadata(model), self.models[model].config, batch=batch, version=version
        )

    def case(self, model: str, *, batch: int | None = None, version: str = "") -> InputCase:
        """One request for a ready model: one row, unless ``batch`` says otherwise."""
        wanted = batch if batch is not None else (1 if self.models[model].max_batch_size else None)
        return self.cases(model, batch=wanted, version=version)[0]

    def batches(self, model: str, version: str = "") -> list[InputCase]:
        """Requests at batch 1, 2, 3 and the maximum, and the best source's cases as they are.

        The rows are drawn with the run's seed where the source says what makes sense, so that
        nobody can know them before; a model that does not batch gets its cases only.
        """
        known = self.cases(model, version=version)
        most = self.largest_batch(model)
        if most < 1:
            return known
        # Known rows come first: the last ones are those that were drawn.
        drawn = self.distinct(model, 2 * max(most, DRAWN), version=version)
        made = []
        for size in dict.fromkeys((1, min(2, most), min(3, most), most)):
            rows = [drawn[-1 - at % len(drawn)] for at in range(size)]
            made.append(stack(rows, f"seeded-{size}") if size > 1 else rows[0])
        return [case for case in known if case.batch <= most] + made

    def largest_batch(self, model: str) -> int:
        """The maximum batch, or the largest one that is reasonable to send; 0: it has none."""
        most = self.models[model].max_batch_size
        if most < 1:
            return 0
        row = sum(len(encode_raw(as_tensor(v))) for v in self.case(model).inputs.values())
        return max(1, min(most, MAX_ROWS, MAX_REQUEST // max(row, 1)))

    @property
    def failures_have_reasons(self) -> bool:
        """Whether this release labels failures with a reason."""
        from pytest_triton.monitor.expected import REASONS_SINCE

        return self.release is None or self.release >= REASONS_SINCE

    def distinct(
        self, model: str, count: int, *, batch: int = 1, version: str = ""
    ) -> list[InputCase]:
        """Different requests of equal shapes."""
        return self.source.distinct(
            model,
            self.metadata(model),
            self.models[model].config,
            count=count,
            batch=batch,
            version=version,
        )

    def varied(self, model: str, count: int) -> list[InputCase]:
        """Different requests; where too few are known, generated ones out of metadata."""
        known = self.distinct(model, count)
        if len(known) >= 2:
            return known
        config = {"max_batch_size": self.models[model].max_batch_size}
        blind = InputSource(seed=self.settings.seed)
        return blind.distinct(model, self.metadata(model), config, count=count)

    def answer(
        self, model: str, case: InputCase, *, protocol: Any = None, **keywords: Any
    ) -> InferResult:
        """Infer. An error answer to generated inputs is NotAssessed, never the model's fault."""
        try:
            answer: InferResult = (protocol or self.http).infer(model, case.inputs, **keywords)
        except RequestFailed as error:
            self.excuse(model, case, str(error))
            raise
        return answer

    def excuse(self, model: str, case: InputCase, refusal: str) -> None:
        """NotAssessed if a refusal may be the inputs' fault: generated, and accepted nowhere.

        A refusal that speaks of an output is the model's own.
        """
        if "for output" in refusal:
            return
        if case.provenance == "generated" and not self._accepts(model, case):
            raise NotAssessed(
                Reason.NO_INPUTS,
                f"{model} refuses generated inputs ({refusal}): give --triton-inputs FILE",
            )

    def _accepts(self, model: str, case: InputCase) -> bool:
        """Whether the plainest request with these inputs is answered over one of the protocols."""
        for protocol in (self.http, self.grpc):
            try:
                if protocol is not None:
                    protocol.infer(model, case.inputs)
                    return True
            except ProbeError:
                continue
        return False

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

    def json_samples(self) -> list[tuple[str, InputCase]]:
        """Of :meth:`json_cases` that have an input, the smallest that batches and that does not.

        For what the server's front end decides: two models show it, and an endpoint is spared.
        """
        return self.once("json samples", self._json_samples)

    def _json_samples(self) -> list[tuple[str, InputCase]]:
        chosen: dict[bool, tuple[int, str, InputCase]] = {}
        for name, case in self.json_cases():
            size = sum(as_tensor(value).array.size for value in case.inputs.values())
            batches = self.models[name].max_batch_size > 0
            if case.inputs and (batches not in chosen or size < chosen[batches][0]):
                chosen[batches] = (size, name, case)
        return [(name, case) for _, (_, name, case) in sorted(chosen.items(), reverse=True)]

    def speaks_json(self) -> bool:
        """Whether the tensors of a ready model can all travel as JSON."""
        return bool(self.json_cases())

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
        path: Path = repository / model / str(name)
        return path.read_text("utf-8", errors="replace").splitlines()

    @property
    def was_ready(self) -> bool:
        """Whether the server was ready when that was first asked."""
        return self.once("was ready", self.http.ready)

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
        self, model: str, version: str, case: InputCase, *, made_for: str = "", files: bool = False
    ) -> Mapping[str, np.ndarray[Any, Any]] | None:
        """What a version has to answer; None: nobody knows.

        Outputs that came with the inputs (side-car, validation_data) belong to version
        ``made_for`` ("": the latest); ``files``: where nothing else is known, run the served
        TorchScript file. NotAssessed if that fails, which is no fault of the server.
        """
        served = self.models[model]
        asked = version or served.versions[-1]
        known = asked == (made_for or served.versions[-1])
        return self.references.answer(served, asked, case, known=known, files=files)

    def tolerances(
        self, case: InputCase, wanted: Mapping[str, np.ndarray[Any, Any]]
    ) -> tuple[float, float]:
        """rtol and atol for the answer to a case, of the reference that was asked last.

        A file is run on the CPU: a GPU computes convolutions and products of FP32 in TF32 by
        torch's defaults, so that values near zero are as far off as the large ones.
        """
        if not self.references.by_file or self.deployment.device == "cpu":
            return case.rtol, case.atol
        return _widened(case, wanted, 1e-2)

    def rounding(
        self, case: InputCase, outputs: Mapping[str, np.ndarray[Any, Any]]
    ) -> tuple[float, float]:
        """rtol and atol between answers that were computed in batches of different sizes.

        A GPU takes another algorithm for another size (TF32, BF16 within); where it is not
        known that a CPU computes, that has room.
        """
        if self.deployment.device == "cpu":
            return case.rtol, case.atol
        return _widened(case, outputs, 5e-3)


def _widened(
    case: InputCase, outputs: Mapping[str, np.ndarray[Any, Any]], rtol: float
) -> tuple[float, float]:
    """At least ``rtol``, and 0.2 % of the largest value."""
    floats = [value for value in outputs.values() if value.dtype.kind == "f"]
    finite = [value[np.isfinite(value)] for value in floats]
    most = max((float(np.abs(value).max()) for value in finite if value.size), default=0.0)
    return max(case.rtol, rtol), max(case.atol, 2e-3 * most)
