"""torch.nn.Module -> TorchScript, by trace or by script, with a proof of parity."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_triton.export.cases import untraced_cases
from pytest_triton.export.devices import device_constants, lift_devices
from pytest_triton.export.interface import Case, ExportRefused, Proof, Signature
from pytest_triton.export.naming import check_forward
from pytest_triton.export.parity import prove, prove_rows
from pytest_triton.export.running import (
    argument_order,
    arguments,
    device_of,
    evaluation,
    evaluator,
    seeded,
)
from pytest_triton.export.sources import strip_sources
from pytest_triton.export.variants import (
    CANDIDATES,
    Progress,
    VariantName,
    choose,
    described,
    measure,
    not_possible,
    surroundings,
    unproven,
    vary,
)
from pytest_triton.repository.layout import file_sha256
from pytest_triton.repository.sidecar import (
    ExportRecord,
    GoldenCase,
    Parity,
    Tensors,
    Variant,
    write_sidecar,
)

Method = Literal["trace", "script"]

#: The case that a trace is recorded on.
TRACED = "traced"
#: What libtorch has no type for; TYPE_STRING needs a scripted List[str] and is not built here.
_UNSUPPORTED = frozenset({"UINT16", "UINT32", "UINT64", "BF16", "BYTES"})


@dataclass(slots=True)
class _Made:
    """One variant of the file: where it lies, and loaded as the server will load it."""

    path: Path
    loaded: Any


class TorchScriptExporter:
    """The exporter of ``model.pt`` files; ``export_torchscript`` explains the arguments."""

    format = "torchscript"
    file_name = "model.pt"
    platform = "pytorch_libtorch"

    def __init__(
        self,
        method: Method = "trace",
        *,
        variant: VariantName | Literal["fastest"] = "plain",
        measured: bool = False,
        keep_devices: bool = False,
        keep_sources: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.method = method
        self.variant = variant
        self.measured = measured or variant == "fastest"
        self.keep_devices = keep_devices
        self.keep_sources = keep_sources
        self._say = progress or (lambda text: None)

    def export(
        self,
        module: Any,
        example: Tensors,
        path: Path,
        *,
        signature: Signature,
        cases: Sequence[Case] = (),
        seed: int = 0,
        rtol: float = 1e-4,
        atol: float = 1e-5,
        proof: Proof | None = None,
        adapted: Sequence[str] = (),
    ) -> ExportRecord:
        """Write the file, prove it, write its side-car; see :class:`Exporter`."""
        import torch

        for tensor in (*signature.inputs, *signature.outputs):
            if tensor.datatype in _UNSUPPORTED:
                raise ExportRefused(
                    f"tensor {tensor.name!r}: Triton's PyTorch backend has no {tensor.datatype}",
                    "convert inside the module, for example to INT64 or FP32",
                )
        cases = [Case(TRACED, example), *(cases or untraced_cases(signature, example, seed=seed))]
        with (
            _directory(path.parent),
            # The file's name becomes part of its contents: the same name, the same bytes.
            tempfile.TemporaryDirectory(prefix=".export.", dir=path.parent) as work,
            evaluation(module),
            torch.no_grad(),
            seeded(seed),
            warnings.catch_warnings(),
        ):
            # torch warns that TorchScript is deprecated, and about every size that a trace
            # reads; the proof below is the better judge of both.
            warnings.simplefilter("ignore")
            order = argument_order(module, signature.inputs)
            device = device_of(module)
            self._say(f"{'tracing' if self.method == 'trace' else 'scripting'} the module")
            compiled = self._compile(module, example, order)
            first: VariantName = "plain" if self.variant == "fastest" else self.variant
            made = {first: self._write(compiled, first, Path(work), path.name, device)}
            naming = check_forward(made[first].loaded, order, signature)
            eager = evaluator(module, order, signature.outputs, device)

            def proven(candidate: _Made) -> tuple[tuple[Parity, ...], list[GoldenCase]]:
                """What is proven is the file, loaded as the server will load it."""
                exported = evaluator(candidate.loaded, order, signature.outputs, device)
                found = prove(
                    eager,
                    exported,
                    cases,
                    signature,
                    traced=TRACED if self.method == "trace" else "",
                    rtol=rtol,
                    atol=atol,
                    progress=self._say,
                )
                if proof is not None:
                    proof(exported)
                return found

            self._say(f"proving {len(cases)} cases against eager")
            parity, golden = proven(made[first])
            prove_rows(eager, golden, signature, rtol=rtol, atol=atol)
            chosen, variants = first, tuple[Variant, ...]()
            if self.measured:
                variants = self._measure(
                    compiled, made, Path(work), path.name, example, order, signature, device, seed
                )
            if self.variant == "fastest" and (best := choose(variants)) != first:
                try:
                    parity, golden = proven(made[best])
                    chosen = best
                except ExportRefused as refusal:
                    variants = unproven(variants, best, refusal.message)
            made[chosen].path.replace(path)
        loaded = made[chosen].loaded
        record = ExportRecord(
            format=self.format,
            inputs=signature.inputs,
            outputs=signature.outputs,
            max_batch_size=signature.max_batch_size,
            seed=seed,
            rtol=rtol,
            atol=atol,
            axes=dict(signature.axes),
            ranges=dict(signature.ranges),
            parity=parity,
            file=path.name,
            sha256=file_sha256(path).hex(),
            torch_version=str(torch.__version__),
            method=self.method,
            frozen=chosen != "plain",
            variant=chosen,
            variants=variants,
            measured_on=surroundings(device) if variants else "",
            platform=self.platform,
            naming=naming,
            adapted=tuple(adapted),
            schema=str(loaded.forward.schema),
            device_constants=device_constants(loaded),
            parameters=sum(parameter.numel() for parameter in module.parameters()),
        )
        return write_sidecar(path.parent, record, golden)

    def _compile(self, module: Any, example: Tensors, order: Sequence[str]) -> Any:
        import torch

        jit: Any = torch.jit
        try:
            if self.method == "script":
                return jit.script(module)
            # check_trace compares on the traced sizes only; prove() does more.
            tensors = tuple(arguments(example, order, device_of(module)))
            traced = jit.trace(module, tensors, check_trace=False)
            return traced if self.keep_devices else lift_devices(traced)
        except Exception as error:
            other = "trace" if self.method == "script" else "script"
            raise ExportRefused(
                f"torch.jit.{self.method} refuses the module: {_first_line(error)}",
                f"try method={other!r}, or wrap the module so that forward takes and returns "
                "tensors only",
            ) from error

    def _write(
        self, compiled: Any, name: VariantName, work: Path, file_name: str, device: Any
    ) -> _Made:
        """One variant as a file. Raises ExportRefused when torch cannot make or write it."""
        try:
            return self._saved(vary(compiled, name), work / name, file_name, device)
        except Exception as error:
            if name != "plain":
                remedy = "export without it (the plain file)"
            elif "Python function call" in str(error):
                remedy = "the module calls a torch.autograd.Function: use plain operations instead"
            else:
                remedy = "wrap the module so that forward takes and returns tensors only"
            raise ExportRefused(
                f"torch cannot write the {name} file: {_first_line(error)}", remedy
            ) from error

    def _saved(self, module: Any, folder: Path, file_name: str, device: Any) -> _Made:
        import torch

        jit: Any = torch.jit
        (folder / "saved").mkdir(parents=True)
        made = folder / file_name
        saved = made if self.keep_sources else folder / "saved" / file_name
        jit.save(module, str(saved))
        if not self.keep_sources:
            strip_sources(saved, made)
            saved.unlink()
        return _Made(made, jit.load(str(made), map_location=device))

    def _measure(
        self,
        compiled: Any,
        made: dict[VariantName, _Made],
        work: Path,
        file_name: str,
        example: Tensors,
        order: Sequence[str],
        signature: Signature,
        device: Any,
        seed: int,
    ) -> tuple[Variant, ...]:
        """Every variant against the plain file; what can be made is left in ``made``."""
        if "plain" not in made:
            made["plain"] = self._write(compiled, "plain", work, file_name, device)
        found: list[Variant] = []
        for name in CANDIDATES:
            try:
                if name not in made:
                    made[name] = self._saved(vary(compiled, name), work / name, file_name, device)
                plain, other = made["plain"].loaded, made[name].loaded
                entries = measure(plain, other, name, example, order, signature, device, seed=seed)
            except Exception as error:
                entries = [not_possible(name, signature, error)]
            for entry in entries:
                self._say(f"measured {described(entry)}")
            found += entries
        return tuple(found)


@contextmanager
def _directory(path: Path) -> Iterator[None]:
    """The directory, made if need be; when the block fails, what was made is taken away."""
    made = [parent for parent in (path, *path.parents) if not parent.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error)
