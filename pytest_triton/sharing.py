"""Regions of shared memory that are lent to a server, and inference through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_triton.declining import complaint
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor, decode_raw, encode_raw
from pytest_triton.probe.cuda import CudaRegion
from pytest_triton.probe.http import wait_until
from pytest_triton.probe.regions import SharedRegion
from pytest_triton.probe.shared import (
    GrpcRegions,
    HttpRegions,
    Place,
    Regions,
    infer_path,
    placed_message,
    placed_request,
    said,
)
from pytest_triton.probe.types import MalformedAnswer, RequestFailed, Tensor
from pytest_triton.probe_set import ADDSUB
from pytest_triton.subject import Subject

#: What an output's place holds before: whatever is not written stays this.
BLANK = 0xA5
#: Tensors begin at multiples of so many bytes.
ALIGNED = 64
#: Seconds in which a region has to be unregistered.
PATIENCE = 5.0


def both(subject: Subject) -> list[Regions]:
    """The extension over HTTP, and over gRPC where an endpoint is known."""
    found: list[Regions] = [HttpRegions(subject.http)]
    if subject.grpc is not None:
        found.append(GrpcRegions(subject.grpc))
    return found


@contextmanager
def lent(regions: Regions, tag: str, size: int, offset: int = 0) -> Iterator[SharedRegion]:
    """A new region whose ``size`` bytes from ``offset`` are registered, with ``tag`` in its name.

    Unregistered afterwards; SubjectFault when it is still there.
    """
    with SharedRegion(offset + size) as region:
        region.name = f"{region.name}_{tag}"
        regions.register(region.name, region.key, size, offset)
        try:
            yield region
        finally:
            take_back(regions, region.name)


@contextmanager
def lent_cuda(regions: Regions, tag: str, size: int) -> Iterator[CudaRegion]:
    """The same with memory of GPU 0. Raises OSError where this process cannot have any."""
    with CudaRegion(size) as region:
        region.name = f"{region.name}_{tag}"
        regions.cuda_register(region.name, region.handle, size)
        try:
            yield region
        finally:
            regions.cuda_unregister(region.name)
            if region.name in regions.cuda_status():
                raise SubjectFault(f"CUDA region {region.name} is registered after the unregister")


def take_back(regions: Regions, name: str) -> None:
    """Unregister a region; one that is in use is asked for again. SubjectFault if it stays."""

    def gone() -> bool:
        try:
            regions.unregister(name)
        except RequestFailed:
            return False
        return name not in regions.status()

    if not wait_until(gone, timeout=PATIENCE):
        raise SubjectFault(f"region {name} is still registered {PATIENCE:g} s after the unregister")


def refused_registration(
    subject: Subject, regions: Regions, name: str, register: Callable[[], Any],
    kinds: tuple[str, ...], *words: str,
) -> str | None:  # fmt: skip
    """What is wrong with the refusal of a registration; None: refused, and nothing is registered.

    What was registered all the same is unregistered.
    """
    try:
        text = complaint(subject, register, kinds, *words)
        if text is None and name in regions.status():
            text = f"is refused, and {name} is registered"
        return text
    finally:
        if name in regions.status():
            take_back(regions, name)


def samples(subject: Subject) -> list[tuple[str, InputCase]]:
    """At most two models, each with one request that always gets the same answer."""
    if not subject.serves_probes:
        return subject.json_samples()
    random = np.random.default_rng(subject.settings.seed)
    inputs = {
        name: random.integers(-1000, 1000, (1, 16), dtype=np.int32) for name in ("INPUT0", "INPUT1")
    }
    return [(ADDSUB, InputCase("drawn", inputs, None, "generated", 1))]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tensors of one request lie in the region of inputs and in that of outputs."""

    inputs: Mapping[str, Place]
    outputs: Mapping[str, Place]
    #: The outputs of the same request without shared memory: data type, shape, bytes.
    wanted: Mapping[str, tuple[str, list[int], bytes]]


def _places(sizes: Mapping[str, int], region: str) -> tuple[dict[str, Place], int]:
    """A place for each tensor, the first one not at the region's start; and the size of all."""
    places, position = {}, ALIGNED
    for name, size in sizes.items():
        places[name] = Place(region, size, position)
        position += -(-max(size, 1) // ALIGNED) * ALIGNED
    return places, position


class Exchange:
    """One request of a model whose tensors lie in two registered regions, ``source`` and ``target``."""

    def __init__(
        self, subject: Subject, model: str, layout: Layout, case: InputCase,
        source: SharedRegion | CudaRegion, target: SharedRegion | CudaRegion,
    ) -> None:  # fmt: skip
        self.subject, self.case = subject, case
        self.model, self.layout, self.source, self.target = model, layout, source, target
        self._inputs = case.inputs

    @property
    def fixed_input(self) -> str | None:
        """The first input whose data type has a size."""
        types = {name: as_tensor(value).datatype for name, value in self._inputs.items()}
        return next((name for name, told in types.items() if told != "BYTES"), None)

    @property
    def an_input(self) -> str:
        """The first input."""
        return next(iter(self.layout.inputs))

    @property
    def an_output(self) -> str:
        """The first output."""
        return next(iter(self.layout.outputs))

    def _parameters(
        self, changed: Mapping[str, Mapping[str, Any]]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        told = [
            {name: {**place.parameters, **changed.get(name, {})} for name, place in places.items()}
            for places in (self.layout.inputs, self.layout.outputs)
        ]
        return told[0], told[1]

    def post(
        self, request_id: str, changed: Mapping[str, Mapping[str, Any]] | None = None,
        data: str = "",
    ) -> Any:  # fmt: skip
        """POST infer; ``changed``: other parameters of a tensor, ``data``: an input with data too."""
        places, outputs = self._parameters(changed or {})
        body = placed_request(self._inputs, places, outputs, request_id)
        for entry in body["inputs"]:
            if entry["name"] == data:
                entry["data"] = np.zeros(entry["shape"], dtype=np.int8).reshape(-1).tolist()
        return said(self.subject.post(infer_path(self.model), body))

    def call(
        self, request_id: str, changed: Mapping[str, Mapping[str, Any]] | None = None,
        content: str = "",
    ) -> Any:  # fmt: skip
        """ModelInfer; ``content``: an input that has typed contents too."""
        assert self.subject.grpc is not None
        places, outputs = self._parameters(changed or {})
        message = placed_message(self.model, self._inputs, places, outputs, request_id)
        for entry in message.inputs:
            if entry.name == content:
                entry.contents.int_contents.append(0)
        return self.subject.grpc.call("ModelInfer", message)

    def blank(self) -> None:
        """Overwrite the region of outputs."""
        self.target.write(bytes([BLANK]) * self.target.size)

    def problem(self, told: Mapping[str, tuple[str, list[int]]]) -> str | None:
        """What is wrong with the outputs: what the answer tells of them, and their bytes."""
        if told != self.told:
            return f"the answer tells outputs {dict(told)}, without shared memory {self.told}"
        for name, (_, _, data) in self.layout.wanted.items():
            place = self.layout.outputs[name]
            got = self.target.read(place.size, place.offset)
            if got != data:
                at = next(
                    i for i, (one, two) in enumerate(zip(got, data, strict=True)) if one != two
                )
                return (
                    f"output {name!r} in the region differs at byte {at} of {len(data)}: "
                    f"{got[at : at + 8].hex()}, without shared memory {data[at : at + 8].hex()}"
                )
        return self.strayed()

    @property
    def told(self) -> dict[str, tuple[str, list[int]]]:
        """Data type and shape of every output, as the request without shared memory got them."""
        return {name: (kind, shape) for name, (kind, shape, _) in self.layout.wanted.items()}

    def values(self) -> dict[str, np.ndarray[Any, Any]]:
        """The outputs that lie in the region, of the data types and shapes of :attr:`told`.

        Raises MalformedAnswer for bytes that are none.
        """
        found = {}
        for name, (kind, shape) in self.told.items():
            place = self.layout.outputs[name]
            data = memoryview(self.target.read(place.size, place.offset))
            found[name] = decode_raw(data, kind, shape, name)
        return found

    def strayed(self) -> str | None:
        """Where something was written that is no output's place."""
        whole = bytearray(self.target.read(self.target.size))
        for place in self.layout.outputs.values():
            whole[place.offset : place.offset + place.size] = bytes([BLANK]) * place.size
        strayed = len(whole) - whole.count(BLANK)
        return f"{strayed} bytes of the region were written beside the outputs" if strayed else None


@contextmanager
def exchange(
    subject: Subject, model: str, case: InputCase, tag: str, *, cuda: bool = False
) -> Iterator[Exchange]:
    """Regions for one request, registered over HTTP; the inputs are written into theirs."""
    lend: Callable[[Regions, str, int], AbstractContextManager[SharedRegion | CudaRegion]]
    lend = lent_cuda if cuda else lent
    plain = subject.answer(model, case)
    wanted = {
        name: (kind, list(plain[name].shape), encode_raw(Tensor(plain[name], kind)))
        for name, kind in plain.datatypes.items()
    }
    blobs = {name: encode_raw(as_tensor(value)) for name, value in case.inputs.items()}
    inputs, whole = _places({name: len(blob) for name, blob in blobs.items()}, "")
    outputs, target_size = _places({name: len(data) for name, (_, _, data) in wanted.items()}, "")
    regions = HttpRegions(subject.http)
    with (
        lend(regions, f"{tag}_in", whole) as source,
        lend(regions, f"{tag}_out", target_size) as target,
    ):
        for name, blob in blobs.items():
            source.write(blob, inputs[name].offset)
        layout = Layout(
            {name: replace(place, region=source.name) for name, place in inputs.items()},
            {name: replace(place, region=target.name) for name, place in outputs.items()},
            wanted,
        )
        made = Exchange(subject, model, layout, case, source, target)
        made.blank()
        yield made


def told_by_json(document: Any) -> dict[str, tuple[str, list[int]]]:
    """Name -> data type, shape of the outputs of a JSON answer, none of which has data."""
    outputs = document.get("outputs") if isinstance(document, dict) else None
    if not isinstance(outputs, list) or not all(isinstance(entry, dict) for entry in outputs):
        raise MalformedAnswer(f"the answer has no array of outputs: {document!r:.120}")
    for entry in outputs:
        if "data" in entry:
            raise MalformedAnswer(f"output {entry.get('name')!r} lies in a region and has data too")
    return {str(e.get("name")): (str(e.get("datatype")), e.get("shape")) for e in outputs}


def told_by_message(message: Any) -> dict[str, tuple[str, list[int]]]:
    """The same of a ModelInferResponse."""
    if any(message.raw_output_contents) or any(e.HasField("contents") for e in message.outputs):
        raise MalformedAnswer("outputs lie in a region and come in the answer too")
    return {e.name: (e.datatype, list(e.shape)) for e in message.outputs}
