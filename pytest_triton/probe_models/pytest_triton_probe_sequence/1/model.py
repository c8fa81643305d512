"""The sum of each sequence."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        responses = []
        for request in requests:
            value, start, end, owner = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]
                for name in ("INPUT", "START", "END", "CORRID")
            )
            total = int(value) + (0 if start else self.sums.get(int(owner), 0))
            if end:
                self.sums.pop(int(owner), None)
            else:
                self.sums[int(owner)] = total
            outputs = [
                pb_utils.Tensor("OUTPUT", np.array([[total]], dtype=np.int32)),
                pb_utils.Tensor("SEQUENCE", np.array([[owner]], dtype=np.uint64)),
            ]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
