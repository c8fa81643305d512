"""The analysis: each model alone, then all together, then what it means for the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_triton.errors import Misused
from pytest_triton.launch.regions import mixes_up
from pytest_triton.launch.screen import screen
from pytest_triton.launch.store import find_server
from pytest_triton.memory_use.driving import NoInputs
from pytest_triton.memory_use.growing import cycles, requests
from pytest_triton.memory_use.headroom import Headroom, NoRoom, memory_limit
from pytest_triton.memory_use.loading import batch_sizes, one_load, together
from pytest_triton.memory_use.measured import MIB, Analysis, ModelMemory
from pytest_triton.memory_use.reading import Reading
from pytest_triton.memory_use.sampling import INTERVAL
from pytest_triton.memory_use.serving import ASK, Bench, LoadFailed, UnloadFailed, bench
from pytest_triton.memory_use.wanted import Wanted
from pytest_triton.probe.types import MalformedAnswer, ProbeError, RequestFailed

Progress = Callable[[str], None]


def analyse(repository: Path, wanted: Wanted, say: Progress) -> Analysis:
    """Measure the models of a repository on a server of its own.

    Raises Misused when no model is meant, and ToolError when the machine lacks something or
    the server ends; a model that fails is named in the result.
    """
    screened = screen(repository)
    chosen = _chosen(repository, screened.expected, wanted.models)
    # The server names its regions before it knows a model. (Ensembles are not looked into.)
    if mixes_up(find_server(wanted.release).version, repository, chosen):
        raise Misused(
            f"Triton {wanted.release} gives Python and PyTorch models of one server one region of "
            "shared memory",
            "choose models of one backend with --models, or --release 24.07 or later",
        )
    with bench(repository, screened, wanted, say) as place:
        made = _begun(repository, wanted, place)
        made.booted = place.reader.settled()
        made.constants = place.constants()
        models = {name: ModelMemory(name) for name in chosen}
        made.models = list(models.values())
        for name in chosen:
            if name in screened.failed:
                models[name].failed = screened.failed[name]
        good = [name for name in chosen if _warm(place, models[name], wanted, say)]
        made.base = place.reader.settled()
        for name in good:
            _alone(place, models[name], wanted, say)
        good = [name for name in good if not models[name].failed]
        if len(good) > 1:
            made.together = together(place, {name: models[name] for name in good}, wanted, say)
        if place.reader.gpu:
            _compare_telemetry(made)
        made.headroom = _headroom(made, place, wanted.minimum)
    return made


def _chosen(repository: Path, there: Sequence[str], globs: Iterable[str]) -> list[str]:
    if not there:
        raise Misused(f"{repository} holds no model", "name a model repository: DIR/MODEL/1/…")
    chosen = [name for name in there if any(fnmatchcase(name, glob) for glob in globs)]
    if not chosen:
        raise Misused(
            f"no model of {repository} is named like {', '.join(globs)}",
            f"there are {', '.join(there)}",
        )
    return chosen


def _begun(repository: Path, wanted: Wanted, place: Bench) -> Analysis:
    version = str(place.http.server_metadata().get("version"))
    limits = wanted.limits
    return Analysis(
        str(repository), place.server.device, str(place.server.release), {"triton": version},
        {
            "batches": wanted.batches, "seconds": wanted.seconds, "cycles": limits.cycles,
            "warmup": limits.warmup, "per_cycle_mib": limits.per_cycle_mib,
            "per_1000_mib": limits.per_1000_mib, "minimum_headroom": wanted.minimum,
            "interval_s": INTERVAL, "seed": wanted.seed,
        },
    )  # fmt: skip


def _warm(place: Bench, model: ModelMemory, wanted: Wanted, say: Progress) -> bool:
    """Load, ask and unload once: what is started only once must not count for one model."""
    if model.failed:
        return False
    say(f"trying {model.name}")
    processes = len(place.reader.tree()) - 1
    try:
        driver = place.load(model.name)
        try:
            model.notes += driver.try_inputs(batch_sizes(driver.model, wanted.batches)[0])
        finally:
            place.unload(model.name, processes=processes)
    except NoInputs as error:
        model.failed, model.remedy, model.failure = error.message, error.remedy, "inconclusive"
    except LoadFailed as error:
        model.failed, model.remedy = str(error), error.remedy
    except ProbeError as error:
        model.failed, model.remedy = str(error), ASK
    return not model.failed


def _alone(place: Bench, model: ModelMemory, wanted: Wanted, say: Progress) -> None:
    """Each instance count at each batch size; then cycles, and rounds of requests."""
    try:
        for instances in (0, *wanted.instances):
            if not one_load(place, model, wanted, instances, say):
                return
        good = [one for one in model.loads[0].under_load if one.requests and not one.errors]
        if not good:
            model.notes.append("growth is not judged: requests fail")
            return
        say(f"cycling {model.name}: load, infer, unload")
        cycles(place, model, wanted, [one.batch for one in good])
        say(f"repeating {model.name}: rounds of requests")
        requests(place, model, wanted, good)
    except UnloadFailed as error:
        model.failed, model.remedy = str(error), error.remedy
    except LoadFailed as error:
        model.failed, model.remedy = f"after it was loaded before, {error}", error.remedy
    except NoRoom as error:
        model.failed, model.remedy, model.failure = str(error), error.remedy, error.verdict
        _away(place, model)
    except ProbeError as error:
        model.failed, model.remedy = str(error), ASK
        made_up = any(one.made_up for loaded in model.loads for one in loaded.under_load)
        if made_up and isinstance(error, (RequestFailed, MalformedAnswer)):
            model.failure = "inconclusive"
            model.remedy = "give real inputs: --inputs FILE (docs: Give real inputs)"
        _away(place, model)


def _away(place: Bench, model: ModelMemory) -> None:
    """Unload what failed; that it stays is told with the failure."""
    try:
        place.unload(model.name, processes=len(place.reader.tree()) - 1)
    except (LoadFailed, ProbeError) as error:
        model.notes.append(str(error))


def _peaks(made: Analysis) -> list[tuple[str, Reading]]:
    """Every peak, and when it was."""
    found = []
    for model in made.models:
        for loaded in model.loads:
            found.append((f"{model.name} idle", loaded.idle))
            if loaded.loading:
                found.append((f"{model.name} while it loads", loaded.loading))
            for one in loaded.under_load:
                batch = f" at batch {one.batch}" if one.batch else " under load"
                found.append((f"{model.name} ×{loaded.instances}{batch}", one.peak))
        found += [
            (f"{model.name}, readings per {growth.per}", growth.most)
            for growth in model.growths
            if growth.most
        ]
    if made.together:
        every = [made.together.idle, *(one.peak for one in made.together.under_load)]
        every += [made.together.loading] if made.together.loading else []
        found += [("all models together", reading) for reading in every]
    return found


def _headroom(made: Analysis, place: Bench, minimum: float) -> list[Headroom]:
    peaks = _peaks(made)
    if not peaks:
        return []
    total, source = memory_limit()
    when, most = max(peaks, key=lambda peak: peak[1].host)
    found = [Headroom("host", total, source, most.host, when, minimum)]
    for at, card in enumerate(place.reader.cards()):
        when, most = max(peaks, key=lambda peak: peak[1].gpu[at])
        found.append(Headroom(card.title, card.total, "the card", most.gpu[at], when, minimum))
    return found


def _compare_telemetry(made: Analysis) -> None:
    """What nvidia-smi and the server tell of the same cards, and who else is on them."""
    loads = [loaded for model in made.models for loaded in model.loads]
    if loads and not any(loaded.gpu_by_process for loaded in loads):
        made.notes.append(
            "nvidia-smi shows no process of the server (as in a container): GPU memory of a model "
            "is what the cards' use grew by, and a neighbour's growth would count"
        )
    pairs = [
        abs(one - two)
        for loaded in loads
        if len(loaded.gpu_metric) == len(loaded.idle.gpu)
        for one, two in zip(loaded.gpu_metric, loaded.idle.gpu, strict=True)
    ]
    if pairs:
        made.notes.append(
            f"nv_gpu_memory_used_bytes and nvidia-smi differ by {max(pairs) / MIB:.0f} MiB at most"
        )
    else:
        made.notes.append("the server's metrics tell no GPU memory: nvidia-smi alone was read")
