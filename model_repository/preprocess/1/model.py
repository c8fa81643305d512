"""Resize an RGB image to 64 x 64 (nearest pixel) and normalise its channels."""

import numpy as np
import triton_python_backend_utils as pb_utils

SIZE = 64
# Mean and deviation of the channels in ImageNet, as most vision models expect them.
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class TritonPythonModel:
    """One per instance; Triton calls execute() with one or more requests."""

    def execute(self, requests):
        """One response per request, in the same order."""
        responses = []
        for request in requests:
            images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
            if 0 in images.shape:
                # An error belongs to its request: raising would fail all that came with it.
                error = pb_utils.TritonError(
                    f"image has no pixels: {list(images.shape)}", pb_utils.TritonError.INVALID_ARG
                )
                responses.append(pb_utils.InferenceResponse(error=error))
                continue
            pixels = pb_utils.Tensor("pixels", normalise(images))
            responses.append(pb_utils.InferenceResponse([pixels]))
        return responses


def normalise(images):
    """uint8 [batch, height, width, 3] -> float32 [batch, 3, 64, 64]."""
    rows = (np.arange(SIZE) * images.shape[1]) // SIZE
    columns = (np.arange(SIZE) * images.shape[2]) // SIZE
    small = images[:, rows][:, :, columns].astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((small - MEAN) / DEVIATION).transpose(0, 3, 1, 2))
