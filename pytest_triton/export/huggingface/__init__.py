"""HuggingFace models -> TorchScript: classification, embedding, causal language model logits.

    export_huggingface("my-model/", path="repository/classifier/1")

Nothing is downloaded: a loaded model, or a directory on the disk.
"""

from pytest_triton.export.huggingface.exporting import export_huggingface
from pytest_triton.export.huggingface.tasks import TASKS

__all__ = ["TASKS", "export_huggingface"]
