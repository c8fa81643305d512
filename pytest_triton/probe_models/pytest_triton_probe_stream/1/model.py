"""As many responses as are asked for."""

import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.cancelled = 0

    def execute(self, requests):
        for request in requests:
            self.answer(request)

    def answer(self, request):
        text = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().reshape(-1)[0]
        count = int(pb_utils.get_input_tensor_by_name(request, "COUNT").as_numpy().reshape(-1)[0])
        delay = pb_utils.get_input_tensor_by_name(request, "DELAY_MS")
        pause = int(delay.as_numpy().reshape(-1)[0]) / 1000 if delay is not None else 0
        sender = request.get_response_sender()
        for index in range(count):
            if request.is_cancelled():
                self.cancelled += 1
                break
            outputs = [
                pb_utils.Tensor("text_output", np.array([text + b" %d" % index], dtype=object)),
                pb_utils.Tensor("INDEX", np.array([index], dtype=np.int32)),
                pb_utils.Tensor("CANCELLED", np.array([self.cancelled], dtype=np.int32)),
            ]
            sender.send(pb_utils.InferenceResponse(outputs))
            time.sleep(pause)
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
