"""Stage 03: CUDA shared memory: what is shown, handles that are refused, and inference."""

from __future__ import annotations

from functools import partial

import pytest

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.declining import complaint
from pytest_triton.evidence import Evidence
from pytest_triton.probe.cuda import HANDLE_BYTES, CudaRegion
from pytest_triton.probe.shared import HttpRegions
from pytest_triton.probe.types import RequestFailed
from pytest_triton.sharing import (
    both,
    exchange,
    lent_cuda,
    samples,
    told_by_json,
    told_by_message,
)
from pytest_triton.steady import region_flaw
from pytest_triton.subject import Subject

SIZE = 64


@pytest.mark.clause("CSH-01")
def test_cuda_status(triton_subject: Subject) -> None:
    over_http, *others = [sorted(one.cuda_status()) for one in both(triton_subject)]
    for told in others:
        assert over_http == told, f"HTTP shows {over_http}, gRPC {told}"
    if triton_subject.deployment.owned:
        assert not over_http, f"nobody registered {', '.join(over_http)}"


@pytest.mark.clause("CSH-02")
def test_bad_handle(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        for handle in (b"short", bytes(HANDLE_BYTES)):
            with triton_evidence.case(f"{one.name}: a handle of {len(handle)} bytes"):
                text = complaint(
                    triton_adjustable, partial(one.cuda_register, "csh02", handle, SIZE),
                    ("INVALID_ARGUMENT", "UNIMPLEMENTED", "INTERNAL"), "raw_handle|hared memory region",
                )  # fmt: skip
                assert not text, text
                assert "csh02" not in str(one.cuda_status()), "it is registered all the same"
    assert triton_adjustable.http.live(), "not live after bad handles"


@pytest.fixture
def cuda(triton_adjustable: Subject) -> None:
    """Memory of a GPU that the judge can lend, and that an endpoint can open."""
    try:
        with CudaRegion(SIZE) as region:
            if not triton_adjustable.deployment.owned:
                regions = HttpRegions(triton_adjustable.http)
                regions.cuda_register(region.name, region.handle, SIZE)
                regions.cuda_unregister(region.name)
    except OSError as error:
        raise NotAssessed(
            Reason.NOT_APPLICABLE, f"the judge cannot lend memory of a GPU: {error}"
        ) from None
    except RequestFailed as error:
        raise NotAssessed(
            Reason.NOT_APPLICABLE,
            f"the server cannot open memory of the judge's GPU ({error}): it uses another one, or "
            "another IPC namespace",
        ) from None


@pytest.mark.clause("CSH-03")
@pytest.mark.usefixtures("cuda")
def test_cuda_register(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name):
            with lent_cuda(one, "csh03", SIZE) as region:
                wanted = {"name": region.name, "device_id": 0, "byte_size": SIZE}
                for other in both(triton_adjustable):
                    told = other.cuda_status().get(region.name)
                    assert told == wanted, f"{other.name} shows {told}"
                text = complaint(
                    triton_adjustable,
                    partial(one.cuda_register, region.name, region.handle, SIZE),
                    ("ALREADY_EXISTS",), region.name,
                )  # fmt: skip
                assert not text, f"a second registration {text}"
            for other in both(triton_adjustable):
                assert region.name not in other.cuda_status(), f"{other.name} shows it afterwards"


@pytest.mark.clause("CSH-04")
@pytest.mark.usefixtures("cuda")
def test_cuda_infer(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable):
        with (
            triton_evidence.case(name),
            exchange(triton_adjustable, name, case, "csh04", cuda=True) as made,
        ):
            text = region_flaw(made, lambda: told_by_json(made.post("csh-04")))
            assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("CSH-05")
@pytest.mark.usefixtures("cuda")
def test_cuda_infer_grpc(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable):
        with (
            triton_evidence.case(name),
            exchange(triton_adjustable, name, case, "csh05", cuda=True) as made,
        ):
            text = region_flaw(made, lambda: told_by_message(made.call("csh-05")))
            assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("CSH-06")
@pytest.mark.usefixtures("cuda")
def test_cuda_bounds(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for name, case in samples(triton_adjustable)[:1]:
        with exchange(triton_adjustable, name, case, "csh06", cuda=True) as made:
            for tensor, region in ((made.an_input, made.source), (made.an_output, made.target)):
                for offset in (region.size - 1, region.size):
                    with triton_evidence.case(f"{tensor} from {offset} of {region.size}"):
                        changed = {tensor: {"shared_memory_offset": offset}}
                        text = complaint(
                            triton_adjustable, partial(made.post, "csh-06", changed),
                            ("INVALID_ARGUMENT",), region.name,
                        )  # fmt: skip
                        assert not text, text
    triton_evidence.need("model whose tensors travel as JSON")
