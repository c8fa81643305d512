"""Stage 03: shared memory: regions that clients register, and inference through them."""

from __future__ import annotations

from functools import partial

import pytest

from pytest_triton.declining import complaint
from pytest_triton.evidence import Evidence
from pytest_triton.foreign_regions import nobody_else, watch
from pytest_triton.in_use import unregister_in_use
from pytest_triton.probe.regions import SharedRegion
from pytest_triton.probe.shared import HttpRegions
from pytest_triton.sharing import (
    both,
    exchange,
    lent,
    refused_registration,
    samples,
    take_back,
    told_by_json,
    told_by_message,
)
from pytest_triton.steady import region_flaw
from pytest_triton.subject import Subject

PAGE, SIZE = 4096, 64
NOWHERE = "/pytest_triton_no_such_key"
NOBODY = "pytest_triton_no_such_region"


@pytest.mark.clause("SHM-01")
def test_register(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name):
            with lent(one, "shm01", SIZE, offset=PAGE) as region:
                wanted = {"name": region.name, "key": region.key, "offset": PAGE, "byte_size": SIZE}
                for other in both(triton_adjustable):
                    alone, among = other.status(region.name), other.status()
                    assert alone == {region.name: wanted}, f"{other.name} shows {alone}"
                    told = among.get(region.name)
                    assert told == wanted, f"among all {other.name} shows {told}"
            for other in both(triton_adjustable):
                assert region.name not in other.status(), f"{other.name} shows it afterwards"


@pytest.mark.clause("SHM-18")
def test_unregister_all(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    watch(triton_adjustable)
    for one in both(triton_adjustable):
        with (
            triton_evidence.case(one.name),
            SharedRegion(SIZE) as first,
            SharedRegion(SIZE) as second,
        ):
            names = [f"{region.name}_shm18" for region in (first, second)]
            try:
                for name, region in zip(names, (first, second), strict=True):
                    one.register(name, region.key, SIZE)
                shown = nobody_else(one, names)  # the last look before it
                one.unregister()
                assert shown == sorted(names), f"registered are {shown}"
                for other in both(triton_adjustable):
                    left = [name for name in names if name in other.status()]
                    assert not left, f"{other.name} still shows {', '.join(sorted(left))}"
            finally:
                for name in names:
                    take_back(one, name)


@pytest.mark.clause("SHM-02")
def test_duplicate(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with (
            triton_evidence.case(one.name),
            lent(one, "shm02", SIZE) as region,
            SharedRegion(SIZE) as new,
        ):
            name, key = region.name, new.key
            text = complaint(
                triton_adjustable, partial(one.register, name, key, SIZE), ("ALREADY_EXISTS",), name
            )  # fmt: skip
            assert not text, f"a second registration {text}"
            kept = one.status().get(region.name, {}).get("key")
            assert kept == region.key, f"the first registration became that of {kept!r}"


@pytest.mark.clause("SHM-03")
def test_bad_key(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name):
            text = refused_registration(
                triton_adjustable, one, "shm03", partial(one.register, "shm03", NOWHERE, SIZE),
                ("INTERNAL", "NOT_FOUND", "INVALID_ARGUMENT"), NOWHERE,
            )  # fmt: skip
            assert not text, f"a key that does not exist {text}"


@pytest.mark.clause("SHM-04")
def test_too_large(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), SharedRegion(SIZE) as region:
            key = region.key
            text = refused_registration(
                triton_adjustable, one, "shm04", partial(one.register, "shm04", key, 2 * PAGE),
                ("INTERNAL", "INVALID_ARGUMENT"), f"shm04|{key}",
            )  # fmt: skip
            assert not text, f"{2 * PAGE} bytes of a region of {SIZE} {text}"


@pytest.mark.clause("SHM-05")
def test_missing_field(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    regions = HttpRegions(triton_adjustable.http)
    for field in ("key", "byte_size"):
        with triton_evidence.case(field), SharedRegion(SIZE) as region:
            body = {"key": region.key, "offset": 0, "byte_size": SIZE}
            del body[field]
            text = refused_registration(
                triton_adjustable, regions, "shm05", partial(regions.register_as, "shm05", body),
                ("INVALID_ARGUMENT",), f"'{field}'",
            )  # fmt: skip
            assert not text, f"a registration without {field} {text}"


@pytest.mark.clause("SHM-06")
def test_unknown_region(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name):
            text = complaint(triton_adjustable, partial(one.status, NOBODY), ("NOT_FOUND",), NOBODY)
            assert not text, f"the status of an unknown region {text}"
            before = sorted(one.status())
            one.unregister(NOBODY)
            assert sorted(one.status()) == before, "an unregister of an unknown region took another"


@pytest.mark.clause("SHM-07")
def test_infer(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable):
        with triton_evidence.case(name), exchange(triton_adjustable, name, case, "shm07") as made:
            text = region_flaw(made, lambda: told_by_json(made.post("shm-07")))
            assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("SHM-17")
def test_infer_grpc(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable):
        with triton_evidence.case(name), exchange(triton_adjustable, name, case, "shm17") as made:
            text = region_flaw(made, lambda: told_by_message(made.call("shm-17")))
            assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("SHM-09")
def test_unregister_in_use(triton_adjustable: Subject) -> None:
    seen = unregister_in_use(triton_adjustable)
    assert triton_adjustable.http.live(), "not live after an unregister of a region in use"
    assert seen.refusal is None or seen.region in seen.refusal, (
        f"the refusal does not name the region: {seen.refusal!r}"
    )
    assert seen.turn == seen.wanted, f"the output in the region is {seen.turn}, not {seen.wanted}"


@pytest.mark.clause("SHM-10")
def test_size_mismatch(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "shm10") as made:
            tensor = made.fixed_input
            if tensor is None:
                continue
            size = made.layout.inputs[tensor].size
            for wrong in (size - 1, size + 4):
                with triton_evidence.case(f"{name}: {wrong} bytes for {size}"):
                    changed = {tensor: {"shared_memory_byte_size": wrong}}
                    text = complaint(
                        triton_adjustable, partial(made.post, "shm-10", changed),
                        ("INVALID_ARGUMENT",), tensor, str(size), str(wrong),
                    )  # fmt: skip
                    assert not text, text
    triton_evidence.need("input whose data type has a size")


@pytest.mark.clause("SHM-11")
def test_out_of_bounds(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "shm11") as made:
            for tensor, region in (
                (made.an_input, made.source),
                (made.an_output, made.target),
            ):
                for offset in (region.size - 1, region.size, region.size + PAGE):
                    with triton_evidence.case(f"{tensor} from {offset} of {region.size}"):
                        changed = {tensor: {"shared_memory_offset": offset}}
                        text = complaint(
                            triton_adjustable, partial(made.post, "shm-11", changed),
                            ("INVALID_ARGUMENT",), region.name,
                        )  # fmt: skip
                        assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("SHM-12")
def test_unregistered(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "shm12") as made:
            for tensor in (made.an_input, made.an_output):
                with triton_evidence.case(tensor):
                    changed = {tensor: {"shared_memory_region": NOBODY}}
                    text = complaint(
                        triton_adjustable, partial(made.post, "shm-12", changed),
                        ("NOT_FOUND",), NOBODY,
                    )  # fmt: skip
                    assert not text, f"a region that is not registered {text}"
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("SHM-13")
def test_data_and_region(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "shm13") as made:
            tensor = made.an_input
            for what, changed, data in (
                ("data", {}, tensor),
                ("binary_data_size", {tensor: {"binary_data_size": SIZE}}, ""),
            ):
                with triton_evidence.case(f"{tensor} with {what}"):
                    text = complaint(
                        triton_adjustable, partial(made.post, "shm-13", changed, data),
                        ("INVALID_ARGUMENT",), f"'{what}'", "shared_memory_region",
                    )  # fmt: skip
                    assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("SHM-14")
def test_output_too_large(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "shm14") as made:
            tensor = made.an_output
            with triton_evidence.case(tensor):
                changed = {tensor: {"shared_memory_byte_size": 1}}
                text = complaint(
                    triton_adjustable, partial(made.post, "shm-14", changed),
                    ("INTERNAL", "INVALID_ARGUMENT"), tensor, str(made.layout.outputs[tensor].size),
                )  # fmt: skip
                assert not text, f"an output in one byte {text}"
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("SHM-15")
def test_output_parameters(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "shm15") as made:
            tensor = made.an_output
            for what, value in (("classification", 1), ("binary_data", True)):
                with triton_evidence.case(f"{tensor} with {what}"):
                    changed = {tensor: {what: value}}
                    text = complaint(
                        triton_adjustable, partial(made.post, "shm-15", changed),
                        ("INVALID_ARGUMENT",), f"'{what}'", "'shared_memory_region'",
                    )  # fmt: skip
                    assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("SHM-19")
def test_refusals_grpc(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "shm19") as made:
            one, other = made.an_input, made.an_output
            unknown = {one: {"shared_memory_region": NOBODY}}
            small = {other: {"shared_memory_byte_size": 1}}
            classes = {other: {"classification": 1}}
            for what, changed, content, kind, words in (
                ("an unknown region", unknown, "", "NOT_FOUND", [NOBODY]),
                ("contents beside a region", {}, one, "INVALID_ARGUMENT", [one]),
                ("an output in one byte", small, "", "INTERNAL", [other]),
                ("classification", classes, "", "INVALID_ARGUMENT", ["'classification'"]),
            ):
                with triton_evidence.case(what):
                    text = complaint(
                        triton_adjustable, partial(made.call, "shm-19", changed, content),
                        (kind,), *words,
                    )  # fmt: skip
                    assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")
