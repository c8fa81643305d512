"""Tells how often it was asked."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.asked = 0

    def execute(self, requests):
        responses = []
        for request in requests:
            self.asked += 1
            value = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            asked = np.full_like(value, self.asked)
            outputs = [pb_utils.Tensor("OUT", value), pb_utils.Tensor("ASKED", asked)]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
