"""Fails as it is told to."""

import numpy as np
import triton_python_backend_utils as pb_utils

CODES = (
    "UNKNOWN",
    "INTERNAL",
    "NOT_FOUND",
    "INVALID_ARG",
    "UNAVAILABLE",
    "UNSUPPORTED",
    "ALREADY_EXISTS",
    "CANCELLED",
)


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        code = int(pb_utils.get_input_tensor_by_name(request, "CODE").as_numpy().reshape(-1)[0])
        if code < 0:
            raise RuntimeError("this model raises on purpose")
        if code:
            name = CODES[code - 1]
            text = f"this model answers {name} on purpose"
            error = pb_utils.TritonError(text, getattr(pb_utils.TritonError, name))
            return pb_utils.InferenceResponse(error=error)
        return pb_utils.InferenceResponse([pb_utils.Tensor("VALUE", np.zeros(1, dtype=np.int32))])
