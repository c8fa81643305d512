"""What a metrics page says of itself: labels, units, and gauges that can be true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_triton.monitor.expected import (
    GPU_FAMILIES,
    REASONS,
    UNITS,
    labels_of,
)
from pytest_triton.monitor.metrics import Scrape

#: Labels that Prometheus gives to parts of a family, and that of --model-namespacing.
_OTHERS = frozenset({"quantile", "le", "namespace"})


def label_flaws(
    scrape: Scrape, versions: Iterable[tuple[str, str]], release: str | None
) -> list[str]:
    """Series whose labels are not those of their family, and reasons without a series."""
    flaws = []
    for name, series in scrape.series.items():
        wanted = labels_of(scrape.family_of(name), release)
        for key in series if wanted is not None else ():
            labels = frozenset(label for label, _ in key) - _OTHERS
            if labels != wanted:
                told = ", ".join(sorted(labels)) or "none"
                flaws.append(f"{name} has the labels {told}, not {', '.join(sorted(wanted or ()))}")
                break
    failures = scrape.samples("nv_inference_request_failure")
    if "reason" not in (labels_of("nv_inference_request_failure", release) or ()):
        return flaws
    for model, version in versions:
        of = [x.labels for x in failures if x.labels.get("model") == model]
        reasons = {x.get("reason", "") for x in of if x.get("version") == version}
        if reasons != REASONS:
            told = ", ".join(sorted(reasons)) or "none"
            flaws.append(f"{model} version {version} has failures with the reasons {told}")
    return flaws


def unit_flaws(scrape: Scrape) -> list[str]:
    """Families of Triton's whose HELP does not tell the unit that their name does."""
    return [
        f"{name} does not say {unit!r} in its HELP: {family.help!r}"
        for name, family in scrape.families.items()
        for end, unit in UNITS.items()
        if name.startswith("nv_") and name.endswith(end) and unit not in family.help
    ]


def gauge_flaws(scrape: Scrape, memory: int | None) -> list[str]:
    """Gauges of the machine that cannot be true; ``memory``: its bytes, where they are known."""
    flaws = []
    used = scrape.value("nv_cpu_utilization")
    if used is not None and not 0 <= used <= 1:
        flaws.append(f"nv_cpu_utilization is {used:g}, a part of 1")
    for what in ("nv_cpu_memory", "nv_pinned_memory_pool"):
        taken, total = (scrape.value(f"{what}_{kind}_bytes") for kind in ("used", "total"))
        if taken is not None and total is not None and not 0 <= taken <= total:
            flaws.append(f"{what}_used_bytes is {taken:.0f} of {total:.0f}")
    total = scrape.value("nv_cpu_memory_total_bytes")
    if total is not None and memory is not None and total != memory:
        flaws.append(f"nv_cpu_memory_total_bytes is {total:.0f}, the machine has {memory}")
    if total is not None and scrape.value("nv_cpu_memory_used_bytes") == 0:
        flaws.append("nv_cpu_memory_used_bytes is 0")
    return flaws


def gpu_flaws(scrape: Scrape, cards: Mapping[str, int] | None = None) -> list[str]:
    """What is wrong with the families about GPUs; ``cards``: uuid -> bytes, where known."""
    flaws = []
    seen: dict[str, set[str]] = {}
    for name, kind in GPU_FAMILIES.items():
        family = scrape.families.get(name)
        if family is None:
            flaws.append(f"missing: {name}")
            continue
        if family.type != kind:
            flaws.append(f"{name} is a {family.type}, not a {kind}")
        seen[name] = {sample.labels.get("gpu_uuid", "") for sample in scrape.samples(name)}
    everyone = set().union(*seen.values(), cards or ())
    for name, uuids in seen.items():
        flaws += [f"{name} has no series of {uuid}" for uuid in sorted(everyone - uuids)]
    if cards is not None:
        flaws += [f"{uuid} is no GPU of the server" for uuid in sorted(everyone - set(cards))]
    for uuid in sorted(everyone):
        flaws += [f"{uuid}: {text}" for text in _card_flaws(scrape, uuid, (cards or {}).get(uuid))]
    return flaws


def _card_flaws(scrape: Scrape, uuid: str, memory: int | None) -> list[str]:
    def told(name: str) -> float | None:
        return scrape.value(name, gpu_uuid=uuid)

    flaws = []
    busy = told("nv_gpu_utilization")
    if busy is not None and not 0 <= busy <= 1:
        flaws.append(f"nv_gpu_utilization is {busy:g}, a part of 1")
    used, total = told("nv_gpu_memory_used_bytes"), told("nv_gpu_memory_total_bytes")
    if used is not None and total is not None and not 0 <= used <= total:
        flaws.append(f"nv_gpu_memory_used_bytes is {used:.0f} of {total:.0f}")
    # The driver keeps a part for itself, which some tools count and others do not.
    if total is not None and memory is not None and not 0.9 * memory <= total <= 1.1 * memory:
        flaws.append(f"nv_gpu_memory_total_bytes is {total:.0f}, the card has {memory}")
    for name in ("nv_gpu_power_usage", "nv_gpu_power_limit", "nv_energy_consumption"):
        value = told(name)
        if value is not None and not value >= 0:
            flaws.append(f"{name} is {value:g}")
    if total == 0:
        flaws.append("nv_gpu_memory_total_bytes is 0")
    return flaws
