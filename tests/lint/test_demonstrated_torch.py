"""What Triton loads and lint calls an error: TorchScript on a real server.

The models are cases of the corpus, served by the embedded server's pytorch backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from lint_corpus import cases, write_case

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import RequestFailed
from pytest_triton.repository.lint import lint

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FOUR = np.arange(4, dtype=np.float32)
TEXTS = np.array([b"a", b"bc"], dtype=object)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpProbe]:
    """Every case that a test of this module shows, and correct ones to compare with."""
    repository = tmp_path_factory.mktemp("shown")
    names = []
    for case in cases():
        if case.theme == "pytorch" and (case.shown or case.id in COMPARED):
            write_case(repository, case)
            names.append(case.id)
    with ExitStack() as stack:
        deployment = stack.enter_context(embedded(ServerSpec(repository, names, device="cpu")))
        yield stack.enter_context(HttpProbe(deployment.http_url, timeout=30))


COMPARED = (
    "pt_arguments_backwards",
    "pt_named_tuple_backwards",
    "pt_strings_reshaped",
    "pt_half_weights_for_fp32",
    "pt_half_weights_inside",
    "pt_total_that_is_not_served",
)


def refused(probe: HttpProbe, model: str, inputs: dict[str, np.ndarray], words: str) -> None:
    """The model is READY, and answers no request."""
    assert probe.model_ready(model)
    with pytest.raises(RequestFailed, match=words):
        probe.infer(model, inputs)


def test_a_string_in_a_dictionary_of_tensors(probe: HttpProbe) -> None:
    """PT012."""
    inputs = {"left": FOUR, "right": TEXTS}
    refused(probe, "pt_string_in_a_dictionary", inputs, "Expected Tensor but got GenericList")


def test_two_inputs_on_one_index(probe: HttpProbe) -> None:
    """PT004: the second argument stays empty."""
    inputs = {"left__0": FOUR, "right__0": FOUR}
    refused(probe, "pt_two_inputs_on_one_index", inputs, "for argument 'right'")


def test_one_misspelt_name_moves_the_others(probe: HttpProbe) -> None:
    """PT006: "right" is subtracted from where all names are right, and subtracted from here."""
    good = probe.infer("pt_arguments_backwards", {"right": FOUR, "left": FOUR * 0})["y"]
    bad = probe.infer("pt_one_name_misspelt", {"right": FOUR[None], "lfet": FOUR[None] * 0})["y"]
    assert good.tolist() == (-FOUR).tolist()
    assert bad.tolist() == [FOUR.tolist()]


def test_an_output_without_an_index_moves_the_other(probe: HttpProbe) -> None:
    """PT006: OUTPUT__1 carries element 0 of the result."""
    good = probe.infer("pt_named_tuple_backwards", {"x": FOUR})
    bad = probe.infer("pt_outputs_swapped_by_the_order", {"x": FOUR})
    assert good["pooled__1"].tolist() == (FOUR + 2).tolist()
    assert bad["OUTPUT__1"].tolist() == (FOUR + 1).tolist()


@pytest.mark.parametrize(
    "model", ["pt_output_beyond_the_result", "pt_output_index_one_and_misspelt_key"]
)
def test_an_output_beyond_the_result(probe: HttpProbe, model: str) -> None:
    """PT010."""
    refused(probe, model, {"x": FOUR}, "refers to an output index which doesn't exist")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("pt_dictionary_as_result", "should not be a List / Dictionary of Tensors or a Scalar"),
        ("pt_list_as_result_unbatched", "must be of type Tensor or List.str., received List"),
        ("pt_number_in_the_result", "Expected Tensor but got Int"),
    ],
)
def test_results_that_cannot_be_delivered(probe: HttpProbe, model: str, words: str) -> None:
    """PT013."""
    x = FOUR[None] if "unbatched" in model else FOUR
    refused(probe, model, {"x": x}, words)


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        ("pt_string_for_a_tensor", {"x": TEXTS}, "but instead found type 'List"),
        ("pt_tensor_for_strings", {"texts": FOUR}, "but instead found type 'Tensor'"),
        ("pt_list_of_tensors", {"parts": FOUR}, "but instead found type 'Tensor'"),
    ],
)
def test_types_that_forward_does_not_take(
    probe: HttpProbe, model: str, inputs: dict[str, np.ndarray], words: str
) -> None:
    """PT012."""
    refused(probe, model, inputs, words)


def test_an_output_of_the_wrong_kind(probe: HttpProbe) -> None:
    """PT014: refused at every request, or sent as something else than the metadata say."""
    model = "pt_strings_declared_for_a_tensor"
    refused(probe, model, {"texts": TEXTS}, "expects datatype TYPE_INT32")
    model = "pt_number_declared_for_strings"
    declared = probe.model_metadata(model)["outputs"][0]["datatype"]
    answer = probe.infer(model, {"texts": TEXTS})["same"]
    assert declared == "INT32"
    assert answer.dtype == np.object_


def test_a_gpu_in_the_code_on_the_cpu(probe: HttpProbe) -> None:
    """PT021."""
    refused(probe, "pt_gpu_written_down", {"x": FOUR}, "CUDA|cuda")


def test_an_input_of_another_type_than_the_weights(probe: HttpProbe) -> None:
    """PT030; a forward that converts takes the same input."""
    refused(probe, "pt_half_weights_for_fp32", {"x": FOUR[None]}, "same dtype, but got Float and")
    assert probe.infer("pt_half_weights_inside", {"x": FOUR[None]})["y"].shape == (1, 2)


def test_an_image_of_bytes_and_an_output_too_many(probe: HttpProbe) -> None:
    """PT030, and PT010 behind it."""
    image = np.zeros((1, 3, 8, 8), dtype=np.uint8)
    model = "pt_bytes_for_a_convolution_and_two_outputs"
    refused(probe, model, {"image": image}, "Input type .* should be the same")


def test_a_result_without_dimensions(probe: HttpProbe) -> None:
    """PT013; such an element that is no output does no harm."""
    words = "output 'total' is a scalar which is not supported"
    refused(probe, "pt_total_as_output", {"x": FOUR}, words)
    assert probe.infer("pt_total_that_is_not_served", {"x": FOUR})["mean"].tolist() == [1.5]


def test_every_model_that_is_shown_is_an_error_of_lint(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for case in cases():
        if case.theme == "pytorch" and case.shown:
            repository = tmp_path_factory.mktemp(case.id)
            write_case(repository, case)
            assert lint(repository).errors, case.id
