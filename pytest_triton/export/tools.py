"""Everything that exports, as one object: what the fixture ``torchscript_exporter`` gives."""

from __future__ import annotations

from pytest_triton.export.function import export_torchscript
from pytest_triton.export.huggingface import export_huggingface
from pytest_triton.export.model import export_model
from pytest_triton.repository.derive import config_of


class TorchScriptTools:
    """Call it for a torch.nn.Module; its methods do the rest."""

    __call__ = staticmethod(export_torchscript)
    #: A model of transformers, or its directory.
    huggingface = staticmethod(export_huggingface)
    #: A whole model directory with its config.pbtxt.
    model = staticmethod(export_model)
    #: The text of the config.pbtxt of a record.
    config = staticmethod(config_of)
