"""Scores that the request says."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            scores = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            outputs = [pb_utils.Tensor("SCORES", scores), pb_utils.Tensor("PLAIN", scores)]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
