"""A ready model as the server tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
    def instances(self) -> int:
        """Instances that the configuration asks for, at least 1."""
        groups = self.config.get("instance_group") or [{}]
        return max(1, sum(int(group.get("count") or 1) for group in groups))

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
