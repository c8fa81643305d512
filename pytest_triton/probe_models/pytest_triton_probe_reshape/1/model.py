"""Identity of what was reshaped."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            value = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            rank = np.full(value.shape, value.ndim, dtype=np.int32)
            outputs = [pb_utils.Tensor("OUT", value), pb_utils.Tensor("RANK", rank)]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
