"""The faults of a model's files, as data: what is broken, and where Triton has to show it."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_triton.drills import injecting
from pytest_triton.drills.injecting import Injection
from pytest_triton.drills.looking import Shows

#: Begins the name of every model of the drill server but the healthy one.
PREFIX = "pytest_triton_drill_"
#: A model that is not available, for a client.
NOT_AVAILABLE = "has no available versions|is not found"


@dataclass(frozen=True, slots=True)
class FileDrill:
    """A fault of a model's files. It is repaired by putting the files right and loading again."""

    #: What a diagnosis calls it.
    kind: str
    what: str
    inject: Injection
    shows: Shows

    @property
    def model(self) -> str:
        """The directory on the drill server."""
        return f"{PREFIX}{self.kind.replace('-', '_')}"


FILE_DRILLS: tuple[FileDrill, ...] = (
    FileDrill(
        "dims",
        "dims in config.pbtxt that the model does not have",
        injecting.wrong_dims,
        Shows(
            load="unexpected shape for input",
            client=NOT_AVAILABLE,
            status=404,
            state="UNAVAILABLE",
            reason="unexpected shape for input",
            log="failed to load '{model}'",
            model_ready=False,
            server_ready=False,
        ),
    ),
    # The core compares a request with the configuration, and nobody compares that with the model.
    FileDrill(
        "datatype",
        "an input's data_type in config.pbtxt that the model does not have",
        injecting.wrong_datatype,
        Shows(client="data-type is '.*', but model '{model}' expects", status=400, state="READY"),
    ),
    FileDrill(
        "version",
        "no version directory",
        injecting.no_version,
        Shows(
            load="at least one version must be available",
            client=NOT_AVAILABLE,
            status=404,
            log="'{model}': at least one version must be available",
            model_ready=False,
            server_ready=False,
        ),
    ),
    FileDrill(
        "file",
        "the model's file has another name",
        injecting.wrong_file_name,
        Shows(
            load="unable to find",
            client=NOT_AVAILABLE,
            status=404,
            state="UNAVAILABLE",
            reason="unable to find .*{model}",
            log="failed to load '{model}' version .*unable to find",
            model_ready=False,
            server_ready=False,
        ),
    ),
    FileDrill(
        "corrupt",
        "the model's file ends early",
        injecting.corrupt_file,
        Shows(
            load="failed to load model",
            client=NOT_AVAILABLE,
            status=404,
            state="UNAVAILABLE",
            reason="failed to load model '{model}'",
            log="failed to load '{model}' version .*failed to load model",
            model_ready=False,
            server_ready=False,
        ),
    ),
    # The index lists the model without a word, and the server stays ready: only the log tells.
    FileDrill(
        "config",
        "config.pbtxt with a brace too few",
        injecting.broken_config,
        Shows(
            load="failed to poll from model repository",
            client=NOT_AVAILABLE,
            status=404,
            log="Poll failed for model directory '{model}'",
            model_ready=False,
        ),
    ),
)
