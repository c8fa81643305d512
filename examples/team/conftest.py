"""The team's model, and a repository with it for the server under test."""

import dataclasses

import numpy as np
import pytest

from pytest_triton.repository.builder import DynamicBatching, TensorSpec


@pytest.fixture(scope="session")
def eager():
    """The model itself: the mean of the embeddings of all tokens that count, and a layer."""
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(30_000, 32)
            self.head = torch.nn.Linear(32, 3)

        def forward(self, input_ids, attention_mask):
            counts = attention_mask.unsqueeze(-1).to(torch.float32)
            total = (self.embedding(input_ids) * counts).sum(1)
            return self.head(total / counts.sum(1).clamp(min=1.0))

    torch.manual_seed(0)
    return Classifier().eval()


@pytest.fixture(scope="session")
def triton_settings(triton_settings, triton_repository_factory, torchscript_exporter, eager):
    """What is served: a repository with the exported model, proven to answer like it."""
    shape = {
        name: TensorSpec(name, "INT64", ("length",)) for name in ("input_ids", "attention_mask")
    }
    builder = triton_repository_factory()
    builder.torchscript(
        "classifier",
        lambda version: torchscript_exporter(
            eager,
            {name: np.ones((2, 5), np.int64) for name in shape},
            path=version,
            inputs=list(shape.values()),
            outputs=[TensorSpec("logits__0", "FP32", (3,))],
            axes={"length": (1, 128)},
            ranges={"input_ids": (0, 30_000), "attention_mask": (0, 2)},
        ),
        inputs=[TensorSpec(name, "INT64", (-1,)) for name in shape],
        outputs=[TensorSpec("logits__0", "FP32", (3,))],
        dynamic_batching=DynamicBatching(max_queue_delay_microseconds=500),
    )
    return dataclasses.replace(triton_settings, repository=builder.path)
