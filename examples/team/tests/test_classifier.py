"""What the team promises about its classifier."""

import numpy as np
import pytest

from pytest_triton.probe.types import RequestFailed


def test_answers_like_eager(triton_client, triton_rng, eager):
    import torch

    ids = triton_rng.integers(0, 30_000, (3, 17))
    mask = np.ones_like(ids)
    served = triton_client.infer("classifier", input_ids=ids, attention_mask=mask)
    with torch.no_grad():
        wanted = eager(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    np.testing.assert_allclose(served["logits__0"], wanted, rtol=1e-3, atol=1e-5)


def test_grpc_says_the_same(triton_client, triton_rng):
    sent = {
        "input_ids": triton_rng.integers(0, 30_000, (2, 9)),
        "attention_mask": np.ones((2, 9), int),
    }
    over_http = triton_client.infer("classifier", sent)["logits__0"]
    np.testing.assert_array_equal(
        over_http, triton_client.grpc.infer("classifier", sent)["logits__0"]
    )


@pytest.mark.parametrize("length", [1, 64, 128])
def test_every_length_is_answered(triton_client, length):
    ones = np.ones((1, length), np.int64)
    served = triton_client.infer("classifier", input_ids=ones, attention_mask=ones)
    assert served["logits__0"].shape == (1, 3)


def test_a_missing_mask_is_refused(triton_client):
    with pytest.raises(RequestFailed, match="expected 2 inputs but got 1"):
        triton_client.infer("classifier", input_ids=np.ones((1, 4), np.int64))


def test_budget(triton_load):
    run = triton_load("classifier", concurrency=4, duration_s=1)
    run.require(p95_ms=500, error_rate=0)


def test_one_request_is_one_request(triton_client, triton_metrics):
    ones = np.ones((1, 4), np.int64)
    with triton_metrics.delta("classifier") as d:
        triton_client.infer("classifier", input_ids=ones, attention_mask=ones)
    assert d.success == 1
    assert d.failure == 0


def test_lint(triton_lint):
    triton_lint().require(max="info")  # no error and no warning, before anything boots
