"""What a request says, said again."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            text = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy()
            told = np.array([request.parameters().encode()], dtype=object)
            outputs = [pb_utils.Tensor("text_output", text), pb_utils.Tensor("PARAMETERS", told)]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
