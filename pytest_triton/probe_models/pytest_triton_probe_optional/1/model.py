"""An input that may be left out."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            one = pb_utils.get_input_tensor_by_name(request, "A").as_numpy()
            two = pb_utils.get_input_tensor_by_name(request, "B")
            other = two.as_numpy() if two is not None else np.full_like(one, 100)
            outputs = [pb_utils.Tensor("OUTPUT", one + other)]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
