"""An analysis for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.memory_use.measured import Analysis, Loaded, ModelMemory, mib
from pytest_triton.memory_use.reading import Reading


def table(made: Analysis) -> list[str]:
    """Lines of plain text. All sizes are MiB over what was held before the model was loaded."""
    return [*_server(made), *_models(made), *_verdicts(made)]


def _server(made: Analysis) -> Iterator[str]:
    for what, reading in (("no model ever loaded", made.booted), ("base, all unloaded", made.base)):
        if reading:
            yield f"{what:24} {_parts(reading)}"
    for what, size in made.constants.items():
        yield f"{what:24} {mib(size)} MiB, Triton's own"
    yield ""


def _parts(reading: Reading) -> str:
    text = f"host {mib(reading.host)} MiB (tritonserver {mib(reading.server)}, "
    text += f"{reading.processes} other processes {mib(reading.stubs)}, "
    text += f"shared {mib(reading.shared)})"
    return text + (f", cards {mib(reading.cards)} MiB" if reading.gpu else "")


def _models(made: Analysis) -> Iterator[str]:
    gpu = made.device == "gpu"
    kinds = ("host", "GPU") if gpu else ("host",)
    head = "".join(
        f"{f'{kind} idle':>11}{f'{kind} peak':>11}{f'{kind} left':>11}" for kind in kinds
    )
    width = max([len(model.name) for model in made.models] + [12]) + 5
    yield f"{'model':{width}}  instances  batch  requests/s{head}   (MiB over before the load)"
    for model in made.models:
        for loaded in model.loads:
            yield from _rows(model.name, loaded, gpu, width)
        if model.failed and not model.loads:
            yield f"{model.name:{width}}  not measured: see below"
    if made.together:
        yield from _rows("", made.together, gpu, width)
    yield ""


def _rows(name: str, loaded: Loaded, gpu: bool, width: int) -> Iterator[str]:
    for at, one in enumerate(loaded.under_load):
        first, last = at == 0, at == len(loaded.under_load) - 1
        shown_name = name if name and first else "" if name else f"all, {one.model}"
        line = f"{shown_name:{width}}  {one.concurrency if first or not name else '':>9}  "
        line += f"{one.batch or '–':>5}  {one.rps:10.1f}"
        for card in (False, True) if gpu else (False,):
            for shown, reading in ((first, loaded.idle), (True, one.peak), (last, loaded.unloaded)):
                size = "" if not shown or reading is None else mib(over(reading, loaded, card))
                line += f"{size:>11}"
        yield line


def over(reading: Reading, loaded: Loaded, card: bool) -> int:
    """Bytes over what there was before the load, of the cards or of the host."""
    before = loaded.before
    return reading.cards - before.cards if card else reading.host - before.host


def _verdicts(made: Analysis) -> Iterator[str]:
    for check in made.checks:
        yield f"{check.verdict:13} {check.subject}: {check.what}: {check.told}"
    for model in made.models:
        yield from _told(model)
    yield from (f"note          {note}" for note in made.notes)
    yield f"verdict       {made.verdict}"


def _told(model: ModelMemory) -> Iterator[str]:
    if model.remedy:
        yield f"remedy        {model.name}: {model.remedy}"
    yield from (f"note          {model.name}: {note}" for note in model.notes)
