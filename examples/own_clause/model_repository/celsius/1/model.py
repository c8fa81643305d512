"""Degrees Fahrenheit to degrees Celsius."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([self.answer(request)]) for request in requests]

    def answer(self, request):
        degrees = pb_utils.get_input_tensor_by_name(request, "FAHRENHEIT").as_numpy()
        return pb_utils.Tensor("CELSIUS", (degrees - 32) * 5 / 9)
