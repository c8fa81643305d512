"""TorchScript files read as archives: never executed, never unpickled, bounded in memory and time.

    archive = read_archive("model_repository/net/1/model.pt")
    archive.kind, archive.forward

A submitted model is a program: ``torch.jit.load`` alone may run it. What is needed for a verdict
stands in its zip archive as text.
"""

from pytest_triton.repository.archive.kinds import Kind
from pytest_triton.repository.archive.model import Archive, DeviceUse, read_archive
from pytest_triton.repository.archive.signature import Argument, Signature, Type
from pytest_triton.repository.archive.weights import Floating, WeightUse

__all__ = [
    "Archive", "Argument", "DeviceUse", "Floating", "Kind", "Signature", "Type", "WeightUse",
    "read_archive",
]  # fmt: skip
