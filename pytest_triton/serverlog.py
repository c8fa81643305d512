"""What a tritonserver writes while it starts, read as lines with a level."""

from __future__ import annotations

import re

#: 24.07: ``E1122 09:48:36.213902 12984 server.cc:241] text``; the text is quoted from 24.09 on.
_ERROR = re.compile(r"^(?:E\d{4} \d\d:\d\d:\d\d\.\d+ |\[libprotobuf ERROR |error: )")
#: Services start when every start-up model has been tried: what follows is not the start.
_READY = re.compile(r"Started (?:GRPCInferenceService|HTTPService|Metrics Service) at")

#: Errors that a healthy server writes on a machine without a GPU, or without its telemetry.
HARMLESS = (
    "CudaDriverHelper has not been initialized",
    "unable to create stream for ",
    "CUDA driver version is insufficient",
    "DCGM unable to start",
    "Failed to load libdcgm",
)


def until_ready(text: str) -> str:
    """The log up to the line that says that the first service has started; else all of it."""
    found = _READY.search(text)
    return text[: found.start()] if found else text


def errors_until_ready(text: str) -> list[str]:
    """Lines of level error while the server started, harmless ones left out."""
    return errors(until_ready(text))


def errors(text: str) -> list[str]:
    """Lines of level error in a log, harmless ones left out."""
    return [
        line
        for line in text.splitlines()
        if _ERROR.match(line) and not any(known in line for known in HARMLESS)
    ]
