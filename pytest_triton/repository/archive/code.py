"""What TorchScript code names: devices, files, layers that train, operators of other libraries.

Found by pattern: torch prints the code of an archive in one fixed form. Every pattern is bounded,
and so is what is kept: the text may have been written to waste time and memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

#: Places of one kind that are looked at in one record.
_MOST = 10_000
_DEVICE = re.compile(r'\btorch\.device\("([^"\n]{1,40})"\)')
#: Characters of a line before a call that are looked at for its indentation.
_LINE = 4000
#: Operators that read or write files by name, or reach the network.
_HOSTILE = re.compile(
    r"\b(?:torch|ops\.aten)\.(from_file|save)\(|(?<![\w.])(?:ops\.prim\.)?"
    r"(rpc_async|rpc_sync|rpc_remote)\("
)
#: Calls of layers that do something else in training; with a literal True they always do.
_DROPOUT = re.compile(r"\btorch\.((?:feature_)?(?:alpha_)?dropout)_?\(")
_BATCH_NORM = re.compile(r"\btorch\.(batch_norm|instance_norm)\((?:[^,\n]{1,100}, ){5}(True|\w+), ")
#: Operators of libraries that torch itself does not have.
_CUSTOM = re.compile(r"\bops\.(\w{1,80})\.(\w{1,80})\(")
_OWN_NAMESPACES = frozenset(
    [
        "aten", "prim", "prims", "quantized", "_quantized", "quantized_decomposed", "sparse",
        "mkldnn", "mkldnn_prepacked", "onednn", "prepacked", "profiler", "static", "inductor",
        "c10d", "rngprims", "cuda", "metal", "vulkan", "xnnpack",
    ]
)  # fmt: skip
#: What changes the type or the shape of tensors behind the back of who reads the code.
_CONVERTS = re.compile(
    r"torch\.(?:(?:un)?squeeze_|t_|transpose_|swap\w{0,20}_|resize_\w{0,20}|as_strided_|set_\w{0,40})\("
)
_SETSTATE = re.compile(r"^  def __setstate__\(", re.MULTILINE)


@dataclass(slots=True)
class Seen:
    """What the code of all classes names."""

    devices: dict[str, bool] = field(default_factory=dict)
    hostile: dict[str, None] = field(default_factory=dict)
    layers: dict[str, bool] = field(default_factory=dict)
    custom: dict[str, None] = field(default_factory=dict)
    changes: bool = False
    converts: bool = False

    def look(self, text: str) -> None:
        """Take in one record of code."""
        for found in islice(_DEVICE.finditer(text), _MOST):
            always = _indent(text, found.start()) <= 4
            self.devices[found[1]] = self.devices.get(found[1], False) or always
        for found in _HOSTILE.finditer(text):
            self.hostile[found[1] or found[2]] = None
        if _SETSTATE.search(text):
            self.hostile["__setstate__"] = None
        for found in islice(_DROPOUT.finditer(text), _MOST):
            end = text.find("\n", found.end(), found.end() + _LINE)
            literal = end > 0 and text[end - 20 : end].rstrip(" ").endswith(", True)")
            self.layers[found[1]] = self.layers.get(found[1], False) or literal
        for found in islice(_BATCH_NORM.finditer(text), _MOST):
            self.layers[found[1]] = self.layers.get(found[1], False) or found[2] == "True"
        for found in _CUSTOM.finditer(text):
            if found[1] not in _OWN_NAMESPACES and len(self.custom) < _MOST:
                self.custom[f"{found[1]}::{found[2]}"] = None
        self.converts = self.converts or "autocast" in text or _CONVERTS.search(text) is not None
        self.changes = self.changes or _changes_buffers(text)


def _indent(text: str, at: int) -> int:
    """Blanks before the statement at a place; many where its line is too long to tell."""
    line = text.rfind("\n", max(0, at - _LINE), at) + 1
    if line == 0 and at > _LINE:
        return _LINE
    return len(text[line : line + 100]) - len(text[line : line + 100].lstrip(" "))


def _changes_buffers(text: str) -> bool:
    """Does code outside of branches assign, or change in place, what a class calls a buffer?"""
    buffers = set(_first(_names(text)))
    if not buffers:
        return False
    assigned = re.finditer(r"^    self\.(\w{1,80}) = ", text, re.MULTILINE)
    if any(found[1] in buffers for found in assigned):
        return True
    local = re.finditer(r"^    (\w{1,80}) = self\.(\w{1,80})$", text, re.MULTILINE)
    read = set(_first(found[1] for found in local if found[2] in buffers))
    changed = re.finditer(r"^    [^\n]{0,200}?\w_\((\w{1,80})\b", text, re.MULTILINE)
    return any(found[1] in read for found in changed)


def _names(text: str) -> Iterator[str]:
    for line in re.finditer(r"^  __buffers__ = \[([^\]\n]*)\]", text, re.MULTILINE):
        for name in re.finditer(r'"(\w{1,80})"', line[1]):
            yield name[1]


def _first(names: Iterator[str]) -> Iterator[str]:
    return islice(names, _MOST)
