"""Which release of Triton knows which field, platform and backend.

Fields are compared as the servers have them: read out of the binaries of 23.10, 24.07 and
24.10, and for every release between and after out of the model_config_pb2 of its tritonclient.
"""

from __future__ import annotations

from pytest_triton.repository.positions import Mistake

#: (message, field) -> first release that has it. What is not here is in 23.10 already.
FIELDS = {
    ("ModelSequenceBatching", "iterative_sequence"): "23.11",
    ("State", "use_same_buffer_for_input_output"): "23.11",
    ("State", "use_growable_memory"): "23.11",
    ("ModelConfig", "runtime"): "24.01",
    ("ModelInput", "is_non_linear_format_io"): "24.08",
    ("ModelOutput", "is_non_linear_format_io"): "24.08",
    ("ModelConfig", "model_metrics"): "24.11",
    ("ModelEnsembling", "max_inflight_requests"): "25.11",
}
#: Platform -> first release that has it.
PLATFORMS = {"torch_aoti": "26.03", "libtorch": "26.03"}
#: Backend -> first release whose image lacks it.
REMOVED = {"tensorflow": "25.03"}


def gate_of(mistake: Mistake) -> str:
    """The release that brings a field that is unknown here; empty when none does."""
    return FIELDS.get((mistake.within, mistake.name), "") if mistake.kind == "field" else ""
