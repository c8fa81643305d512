"""The tests of team.toml's clauses."""

import numpy as np
import pytest

KNOWN = {-40.0: -40.0, 32.0: 0.0, 212.0: 100.0, 98.6: 37.0}


@pytest.mark.clause("TEAM-01")
def test_degrees(triton_client, triton_evidence):
    sent = np.array([[degrees] for degrees in KNOWN], np.float32)
    over_http = triton_client.infer("celsius", FAHRENHEIT=sent)["CELSIUS"]
    over_grpc = triton_client.grpc.infer("celsius", FAHRENHEIT=sent)["CELSIUS"]
    np.testing.assert_allclose(over_http[:, 0], list(KNOWN.values()), rtol=0, atol=1e-3)
    np.testing.assert_array_equal(over_http, over_grpc)
    triton_evidence.measure("right", len(KNOWN), "of 4")
