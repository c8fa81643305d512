"""Sleeps, then tells its turn."""

import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.turn = 0

    def execute(self, requests):
        responses = []
        for request in requests:
            delay = pb_utils.get_input_tensor_by_name(request, "DELAY_MS").as_numpy()
            time.sleep(min(int(delay.reshape(-1)[0]), 5000) / 1000)
            self.turn += 1
            told = np.array([[self.turn]], dtype=np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("TURN", told)]))
        return responses
