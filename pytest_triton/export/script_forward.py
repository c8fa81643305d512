"""A TorchScript module called as NVIDIA's backend calls it: by the names of a configuration.

Runs in the process of ``script_child.py`` only, which has the backend's modules on its path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

#: Largest number of seconds of a question that is asked a second time, to compare.
_CHEAP = 2.0


class Refused(Exception):
    """The module, or the configuration, has no answer."""


class Unsteady(Exception):
    """The same question gets different answers."""


class Forward:
    """``forward`` of one module on the CPU, with arrays by the names of the configuration."""

    def __init__(self, module: Any, raw: Mapping[str, Any]) -> None:
        """Raises Refusal, with the backend's words, for what the backend does not load."""
        import torch
        from torchscript_call import doomed, make_call, value_count, value_types
        from torchscript_config import parse_config
        from torchscript_schema import make_plan

        self._raw = raw
        self._config = config = parse_config(dict(raw))
        method = module._c._get_method("forward")
        self._returned = method.schema.returns[0].type
        self._plan = plan = make_plan(config, method.schema, lambda text: None)
        self._width = value_count(config, plan)
        arriving = value_types(config, plan, self._width)
        doom = doomed(plan, method.schema, arriving, self._width)
        self._call = make_call(plan, method, doom, _no_strings)
        self._types = {
            "BOOL": torch.bool, "UINT8": torch.uint8, "INT8": torch.int8, "INT16": torch.int16,
            "INT32": torch.int32, "INT64": torch.int64, "FP16": torch.float16,
            "FP32": torch.float32, "FP64": torch.float64,
        }  # fmt: skip

    def steady(
        self,
        inputs: Mapping[str, np.ndarray],
        allowed: Mapping[str, Sequence[float]],
        clock: Callable[[], float],
    ) -> dict[str, np.ndarray]:
        """The outputs. Raises Unsteady if a second call has others.

        ``allowed`` has the relative and the absolute tolerance of each output. The second call
        comes with another seed and, where it can, sums in another order.
        """
        import torch

        torch.manual_seed(1)
        started = clock()
        outputs = self(inputs)
        if clock() - started > _CHEAP:
            return outputs
        torch.manual_seed(2)
        try:
            with torch.backends.mkldnn.flags(enabled=False):
                again = self(inputs)
        except Exception:  # written for mkldnn alone
            again = self(inputs)
        for name, value in outputs.items():
            other, (rtol, atol) = again[name], allowed.get(name, (0.0, 0.0))
            same = value.shape == other.shape
            if same and value.dtype.kind == "f":
                wide, far = value.astype(np.float64), other.astype(np.float64)
                with np.errstate(invalid="ignore", over="ignore"):
                    same = np.allclose(wide, far, rtol=rtol, atol=atol, equal_nan=True)
            elif same:
                same = np.array_equal(value, other)
            if not same:
                raise Unsteady(f"output {name!r} differs from call to call")
        return outputs

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One call. Raises Refused, or Refusal with the backend's words."""
        import torch
        from torchscript_call import unpack

        batch = 0
        values: list[Any] = [None] * self._width
        for entry in self._raw.get("input", ()):
            name = entry["name"]
            if name not in inputs:
                raise Refused(f"there is no input {name!r}")
            array = inputs[name]
            if self._config.batching:
                batch = int(array.shape[0])
            shape = self._reshaped(entry, array.shape, inward=True)
            if name in self._plan.positions:
                # A copy each time: ``forward`` may write into it.
                place = self._plan.positions[name]
                values[place] = torch.from_numpy(array.copy()).reshape(shape)
        with torch.no_grad():
            value = self._call(values)
        single = isinstance(value, torch.Tensor)
        elements = [value] if single else unpack(value, self._returned, torch.Tensor)
        return {
            entry["name"]: self._output(entry, elements, batch)
            for entry in self._raw.get("output", ())
        }

    def _output(self, entry: Mapping[str, Any], elements: list[Any], batch: int) -> np.ndarray:
        import torch

        name = entry["name"]
        index, kind = self._plan.outputs[name], self._plan.types[name]
        if index >= len(elements):
            raise Refused(f"output {name!r} is element {index} of {len(elements)}")
        value = elements[index]
        if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
            raise Refused(f"output {name!r} is no dense tensor")
        if value.dtype is not self._types[kind]:
            raise Refused(f"output {name!r} is {value.dtype}, its configuration says TYPE_{kind}")
        if value.dim() == 0:
            raise Refused(f"output {name!r} is a scalar")
        if self._config.batching:
            if value.shape[0] < batch:
                raise Refused(f"output {name!r} has {value.shape[0]} rows for a batch of {batch}")
            value = value[:batch]  # the server drops rows that nobody asked for
        array: np.ndarray = value.resolve_conj().resolve_neg().contiguous().numpy()
        return array.reshape(self._reshaped(entry, array.shape, inward=False))

    def _reshaped(
        self, entry: Mapping[str, Any], shape: Sequence[int], *, inward: bool
    ) -> tuple[int, ...]:
        """The shape on the other side of a ``reshape``; variable dimensions keep their order."""
        if "reshape" not in entry:
            return tuple(shape)
        dims = [int(size) for size in entry.get("dims", ())]
        made = [int(size) for size in entry["reshape"].get("shape", ())]
        here, there = (dims, made) if inward else (made, dims)
        lead = tuple(shape[:1]) if self._config.batching else ()
        own = shape[len(lead) :]
        if len(own) != len(here):
            raise Refused(f"{entry['name']!r} has the shape {list(shape)}, not {here}")
        known = iter([size for size, told in zip(own, here, strict=True) if told < 0])
        return (*lead, *(next(known, 1) if size < 0 else size for size in there))


def _no_strings(values: list[Any]) -> Any:
    raise Refused("forward returns strings")
