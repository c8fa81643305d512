"""Devices in a TorchScript graph: find them, and make the graph ask its input instead.

A trace writes the device of every tensor that the module creates (masks, positions) into
the graph. Such a file fails on any other device with "Expected all tensors to be on the
same device", although its weights move.
"""

from __future__ import annotations

from typing import Any


def device_constants(scripted: Any) -> tuple[str, ...]:
    """The devices that are written into the graph of forward, functions it calls included."""
    graph = scripted.inlined_graph
    return tuple(sorted({node.s("value") for node in _constants(graph)}))


def lift_devices(scripted: Any) -> Any:
    """Replace every device constant in ``forward`` by the device of its first tensor input.

    Works in place on the graph, which is inlined for it; without a tensor argument, or for
    a scripted module (whose graphs must stay as written), nothing changes. The forwards of
    submodules are then no longer called, but they stay in the file, where whoever reads it
    takes them for code: they are lifted too.
    """
    import torch
    from torch.jit._trace import TopLevelTracedModule

    if not isinstance(scripted, TopLevelTracedModule):
        return scripted
    graph = scripted.graph
    torch._C._jit_pass_inline(graph)
    if not _lift(graph):
        return scripted
    for _, child in scripted.named_modules():
        if child is scripted:
            continue
        for name in child._c._method_names():  # forward1, … where it was called several times
            _lift(child._c._get_method(name).graph)
    return scripted


def _lift(graph: Any) -> bool:
    """One graph; False when it has no tensor to ask."""
    import torch

    tensor = next((v for v in graph.inputs() if v.type().kind() == "TensorType"), None)
    if tensor is None:
        return False
    constants = _constants(graph)
    if not constants:
        return True
    # One node at the very start dominates every use.
    lifted = graph.create("prim::device", [tensor], 1)
    lifted.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(lifted)
    for node in constants:
        node.output().replaceAllUsesWith(lifted.output())
        node.destroy()
    return True


def _constants(graph: Any) -> list[Any]:
    return [
        node
        for node in graph.findAllNodes("prim::Constant", recurse=True)
        if node.output().type().kind() == "DeviceObjType" and node.hasAttribute("value")
    ]
