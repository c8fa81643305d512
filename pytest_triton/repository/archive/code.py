"""What TorchScript code names: devices, files, layers that train, operators of other libraries.

Found by pattern, line by line: the code of an archive is printed by torch in one fixed form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_DEVICE = re.compile(r'^( *).*?torch\.device\("([^"\n]{1,40})"\)', re.MULTILINE)
#: Operators that read or write files by name, or reach the network.
_HOSTILE = re.compile(
    r"\b(?:torch|ops\.aten)\.(from_file|save)\(|(?<![\w.])(?:ops\.prim\.)?"
    r"(rpc_async|rpc_sync|rpc_remote)\("
)
#: Calls of layers that do something else in training; with a literal True they always do.
_DROPOUT = re.compile(
    r"\btorch\.((?:feature_)?(?:alpha_)?dropout)_?\([^\n]*?(, True)?\)\s*$", re.MULTILINE
)
_BATCH_NORM = re.compile(r"\btorch\.(batch_norm|instance_norm)\((?:[^,\n]+, ){5}(True|\w+), ")
#: Operators of libraries that torch itself does not have.
_CUSTOM = re.compile(r"\bops\.(\w+)\.(\w+)\(")
_OWN_NAMESPACES = frozenset(
    [
        "aten", "prim", "prims", "quantized", "_quantized", "quantized_decomposed", "sparse",
        "mkldnn", "mkldnn_prepacked", "onednn", "prepacked", "profiler", "static", "inductor",
        "c10d", "rngprims", "cuda", "metal", "vulkan", "xnnpack",
    ]
)  # fmt: skip
_SETSTATE = re.compile(r"^  def (__setstate__)\(", re.MULTILINE)


@dataclass(slots=True)
class Seen:
    """What the code of all classes names."""

    devices: dict[str, bool] = field(default_factory=dict)
    hostile: dict[str, None] = field(default_factory=dict)
    layers: dict[str, bool] = field(default_factory=dict)
    custom: dict[str, None] = field(default_factory=dict)
    changes: bool = False

    def look(self, text: str) -> None:
        """Take in one record of code."""
        for indent, device in _DEVICE.findall(text):
            self.devices[device] = self.devices.get(device, False) or len(indent) <= 4
        for pair in _HOSTILE.findall(text):
            self.hostile["".join(pair)] = None
        self.hostile.update(dict.fromkeys(_SETSTATE.findall(text)))
        for layer, literal in _DROPOUT.findall(text):
            self.layers[layer] = self.layers.get(layer, False) or bool(literal)
        for layer, literal in _BATCH_NORM.findall(text):
            self.layers[layer] = self.layers.get(layer, False) or literal == "True"
        for space, operator in _CUSTOM.findall(text):
            if space not in _OWN_NAMESPACES:
                self.custom[f"{space}::{operator}"] = None
        self.changes = self.changes or _changes_buffers(text)


def _changes_buffers(text: str) -> bool:
    """Does code outside of branches assign, or change in place, what a class calls a buffer?"""
    buffers = {
        name
        for names in re.findall(r"^  __buffers__ = \[([^\]\n]*)\]", text, re.MULTILINE)
        for name in re.findall(r'"(\w+)"', names)
    }
    if not buffers:
        return False
    if buffers.intersection(re.findall(r"^    self\.(\w+) = ", text, re.MULTILINE)):
        return True
    read = dict(re.findall(r"^    (\w+) = self\.(\w+)$", text, re.MULTILINE))
    changed = re.findall(r"^    .{0,200}?\w_\((\w+)\b", text, re.MULTILINE)
    return any(read.get(name) in buffers for name in changed)
