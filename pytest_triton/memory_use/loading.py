"""One load of a model, or of all: idle, under load at each batch size, and after the unload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytest_triton.memory_use.driving import Driver, instance_count
from pytest_triton.memory_use.headroom import NoRoom, require_room
from pytest_triton.memory_use.measured import Loaded, ModelMemory, UnderLoad, mib
from pytest_triton.memory_use.sampling import Sampler
from pytest_triton.memory_use.serving import ASK, Bench, LoadFailed, with_instances
from pytest_triton.memory_use.wanted import Wanted
from pytest_triton.probe.types import ProbeError
from pytest_triton.served_model import ServedModel

Progress = Callable[[str], None]


def one_load(
    place: Bench, model: ModelMemory, wanted: Wanted, instances: int, say: Progress
) -> bool:  # fmt: skip
    """Measure one load; ``instances`` 0: as configured. False: it failed, and the model says so."""
    config = None
    if instances:
        served = place.served[model.name].model
        if served.is_ensemble:
            model.notes.append("an ensemble has no instances of its own: as configured only")
            return True
        config = with_instances(place.served[model.name].config, instances)
        if instance_count(config) == place.served[model.name].instances:
            return True
    before = place.reader.settled()
    try:
        with Sampler(place.reader) as sampler:
            driver = place.load(model.name, config)
    except LoadFailed as error:
        model.failed = f"with {instances} instances, {error}" if instances else str(error)
        model.remedy = error.remedy
        return False
    loaded = Loaded(driver.instances, bool(instances), before, place.reader.settled())
    loaded.loading = sampler.peak
    model.loads.append(loaded)
    loaded.gpu_by_process = place.gpu_by_process()
    loaded.gpu_metric = place.gpu_metric()
    if loaded.gpu_by_process:
        told = ", ".join(f"{what} {mib(size)}" for what, size in loaded.gpu_by_process.items())
        model.notes.append(f"idle on the cards, by process: {told} MiB")
    sizes, notes = batch_sizes(driver.model, wanted.batches)
    model.notes += [note for note in notes if note not in model.notes]
    for batch in sizes:
        rows = f", batch {batch}" if batch else ""
        say(f"measuring {model.name}, instances {loaded.instances}{rows}")
        loaded.under_load.append(_under_load(place, driver, batch, wanted.seconds))
        peak = loaded.under_load[-1].peak.host
        require_room(peak, peak - loaded.idle.host, wanted.minimum)
    loaded.unloaded = place.unload(model.name, processes=before.processes)
    return True


def batch_sizes(model: ServedModel, wanted: Sequence[int]) -> tuple[list[int], list[str]]:
    """The sizes to measure (0: it does not batch), and what is not measured as it was wanted."""
    most = model.max_batch_size
    if not most:
        return [0], []
    if model.stateful:
        return [1], ["takes sequences: a request has one row"] if max(wanted) > 1 else []
    sizes, notes = sorted({min(size, most) for size in wanted}), []
    if larger := ", ".join(str(size) for size in wanted if size > most):
        notes.append(f"takes up to {most} rows: {most} is measured for {larger}")
    if sizes[-1] < most:
        notes.append(f"takes up to {most} rows: more than {sizes[-1]} is not measured")
    return sizes, notes


def _under_load(place: Bench, driver: Driver, batch: int, seconds: float) -> UnderLoad:
    """As many requests in flight as there are instances: each execution is of this batch."""
    instances = driver.instances
    with Sampler(place.reader) as sampler:
        ran = driver.run(batch, concurrency=instances, seconds=seconds)
    return UnderLoad(
        driver.model.name, batch, instances, ran.requests, ran.errors, ran.error, ran.rps,
        sampler.peak, place.reader.settled(), sampler.samples, driver.made_up(batch),
    )  # fmt: skip


def together(
    place: Bench, models: Mapping[str, ModelMemory], wanted: Wanted, say: Progress
) -> Loaded | None:  # fmt: skip
    """All models loaded at once, each under its largest batch in turn; None: they do not load.

    A model that cannot be asked beside the others is named, and the others are asked.
    """
    say(f"measuring all {len(models)} models, loaded together")
    before = place.reader.settled()
    drivers: list[Driver] = []
    try:
        with Sampler(place.reader) as sampler:
            for name, model in models.items():
                try:
                    drivers.append(place.load(name))
                except LoadFailed as error:
                    model.failed = f"beside {len(drivers)} other models, {error}"
                    model.remedy = error.remedy
        if len(drivers) < len(models):
            return None
        instances = sum(driver.instances for driver in drivers)
        loaded = Loaded(instances, False, before, place.reader.settled(), loading=sampler.peak)
        for driver in drivers:
            model = models[driver.model.name]
            measured = model.loads[0].under_load
            batch = [one for one in measured if not one.errors or one is measured[0]][-1].batch
            try:
                loaded.under_load.append(_under_load(place, driver, batch, wanted.seconds))
                peak = loaded.under_load[-1].peak.host
                require_room(peak, peak - loaded.idle.host, wanted.minimum)
            except NoRoom as error:
                model.failed = f"beside {len(drivers) - 1} other models, {error}"
                model.remedy, model.failure = error.remedy, error.verdict
                break
            except ProbeError as error:
                model.failed = f"beside {len(drivers) - 1} other models, {error}"
                model.remedy = ASK
    finally:
        left = None
        try:
            left = place.unload(*models, processes=before.processes)
        except (LoadFailed, ProbeError) as error:
            for model in models.values():
                model.notes.append(f"loaded together with the others: {error}")
    loaded.unloaded = left
    return loaded
