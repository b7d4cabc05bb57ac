from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.conftest import PX
from tests.support.samples import CLASSES, OneAtATime
from xception.backends.base import (
    BACKENDS,
    Compute,
    Pixels,
    Session,
    SessionFacts,
    default_backend,
    empty_batch,
    open_session,
    run_in_batches,
    standardization,
)
from xception.backends.graph_session import graph_input, logits_of
from xception.backends.onnxruntime import newest_opset
from xception.bundle import Bundle, Graph, write_bundle
from xception.errors import EnvironmentFault, InputError, UnknownName, UsageError
from xception.forms import FORMS, Form
from xception.metrics import softmax
from xception.models.network import build
from xception.preprocess import Preprocess

PAIRS = [(backend, form) for backend, row in BACKENDS.items() for form in row.forms]
TOLERANCE = 1e-5
"""Relative to the largest logit; float32 rounding stays below 1e-6."""


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def session(request: pytest.FixtureRequest, forms: dict[Form, Bundle]) -> Iterator[Session]:
    backend, form = request.param
    session = open_session(forms[form], backend, compute=Compute(threads=1))
    yield session
    session.close()


def pixels(count: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).normal(size=(count, 3, PX, PX)).astype(np.float32)


@pytest.fixture(scope="session")
def reference(spec: object, tensors: dict[str, np.ndarray]) -> Pixels:
    """Logits of the network itself in float64."""
    network = build(spec, tensors).eval().double()
    with torch.inference_mode():
        return network(torch.from_numpy(pixels(5)).double()).numpy()


def test_a_call_leaves_torch_its_number_of_threads(forms: dict[Form, Bundle]) -> None:
    before = torch.get_num_threads()
    with closing(open_session(forms["weights"], "torch", compute=Compute(threads=before + 1))) as session:
        session(pixels(1))
    assert torch.get_num_threads() == before


def test_a_session_states_its_facts(session: Session) -> None:
    facts = session.facts
    assert facts.name in BACKENDS
    assert facts.input_shape == (3, PX, PX)
    assert facts.num_outputs == len(CLASSES)
    assert (facts.batch_size, facts.input_values) == (None, "pixels")
    assert (facts.instances, facts.threads) == (1, 1)


def test_logits_are_those_of_the_network(session: Session, reference: np.ndarray) -> None:
    logits = session(pixels(5))
    assert logits.shape == (5, len(CLASSES))
    assert logits.dtype == np.float32
    assert np.abs(logits - reference).max() <= TOLERANCE * np.abs(reference).max()


def test_the_comparison_would_notice_another_picture(session: Session, reference: np.ndarray) -> None:
    assert np.abs(session(pixels(5, seed=1)) - reference).max() > 100 * TOLERANCE * np.abs(reference).max()


def test_any_batch_size_gives_the_same_logits(session: Session) -> None:
    images = pixels(6)
    whole = session(images)
    single = np.concatenate([session(images[i : i + 1]) for i in range(6)])
    assert np.abs(whole - single).max() <= TOLERANCE * np.abs(whole).max()


def test_results_are_the_callers_own(session: Session) -> None:
    first = session(pixels(2))
    kept = first.copy()
    session(pixels(2, seed=1))
    assert np.array_equal(first, kept)
    first += 1


def test_pixels_are_left_as_they_were(session: Session) -> None:
    images = pixels(2)
    before = images.copy()
    session(images)
    assert np.array_equal(images, before)


def test_the_same_pixels_give_the_same_logits(session: Session) -> None:
    assert np.array_equal(session(pixels(3)), session(pixels(3)))


@pytest.mark.parametrize(("backend", "form"), PAIRS)
def test_a_broken_file_is_refused_in_one_sentence(
    backend: str, form: Form, forms: dict[Form, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    for file in forms[form].path.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / FORMS[form].files[0]).write_bytes(b"broken")
    broken = Bundle(path=folder, model=forms[form].model, labels=forms[form].labels)
    with pytest.raises(InputError, match=FORMS[form].files[0]):
        open_session(broken, backend)


def test_a_graph_newer_than_the_runtime_names_the_way_out(onnx_bundle: Bundle, tmp_path: Path) -> None:
    graph = onnx.load_from_string(onnx_bundle.content())
    graph.opset_import[0].version = onnx.defs.onnx_opset_version() + 100
    files = {"model.onnx": graph.SerializeToString()}
    newer = write_bundle(tmp_path / "newer", onnx_bundle.model, onnx_bundle.labels, files)
    with pytest.raises(InputError, match="export the bundle again with an older --opset"):
        open_session(newer)


def test_the_newest_opset_is_one_that_onnx_runtime_opens_and_the_next_is_not(
    onnx_bundle: Bundle, tmp_path: Path
) -> None:
    def opened(opset: int) -> bool:
        graph = onnx.load_from_string(onnx_bundle.content())
        graph.opset_import[0].version = opset
        graph.ir_version = onnx.helper.find_min_ir_version_for(graph.opset_import, ignore_unknown=True)
        try:
            onnxruntime.InferenceSession(graph.SerializeToString())
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
            return False
        return True

    assert [opened(newest_opset() + more) for more in (0, 1)] == [True, False]


def test_every_form_has_a_default_backend_that_runs_it() -> None:
    assert {form: default_backend(form) for row in BACKENDS.values() for form in row.forms} == {
        "weights": "torch",
        "onnx": "onnxruntime",
        "openvino": "openvino",
        "litert": "litert",
    }


def test_a_form_for_other_programs_is_not_opened() -> None:
    assert not FORMS["torchscript"].backends
    with pytest.raises(UsageError, match="no backend runs the form 'torchscript'"):
        default_backend("torchscript")


def test_an_unknown_backend_is_refused_with_the_nearest(onnx_bundle: Bundle) -> None:
    with pytest.raises(UnknownName, match="unknown backend 'onnx'; did you mean onnxruntime"):
        open_session(onnx_bundle, "onnx")


def test_a_backend_that_does_not_run_the_form_is_refused_with_those_that_do(onnx_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"torch does not run the form 'onnx' of .*; use onnxruntime or openvino"):
        open_session(onnx_bundle, "torch")


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_batch_to_fill_is_laid_out_as_the_session_takes_it(session: Session, layout: str) -> None:
    facts = replace(session.facts, input_layout=layout)
    batch = empty_batch(facts, 2, PX, PX, np.float32)
    assert (batch.shape, batch.dtype) == ((2, 3, PX, PX), np.float32)
    assert (batch.transpose(0, 2, 3, 1) if layout == "nhwc" else batch).flags.c_contiguous
    batch[:] = pixels(2)
    assert np.array_equal(session(batch), session(pixels(2)))


def test_images_are_given_to_a_session_only_if_it_normalises_them_alike(preprocess: Preprocess) -> None:
    facts = SessionFacts(
        name="torch",
        input_shape=(3, 8, 8),
        num_outputs=2,
        input_values="image",
        standardization=standardization(preprocess),
    )
    assert facts.takes_images_of(preprocess)
    assert not facts.takes_images_of(msgspec.structs.replace(preprocess, mean=(0.4, 0.5, 0.5)))
    assert not facts.takes_images_of(msgspec.structs.replace(preprocess, fractions=True))
    assert not replace(facts, input_values="pixels").takes_images_of(preprocess)


@pytest.mark.parametrize(
    ("backend", "options", "kind", "message"),
    [
        ("torch", {"device": "cuda:77"}, EnvironmentFault, "there is no device cuda:77: torch sees .* GPUs here"),
        ("onnxruntime", {"device": "cuda"}, UsageError, "onnxruntime computes on the CPU only; for cuda use torch"),
        ("torch", {"device": "cpu", "precision": "tf32"}, UsageError, "tf32 on cpu; use torch on a GPU"),
        ("onnxruntime", {"precision": "bfloat16"}, UsageError, "use torch or openvino"),
    ],
)
def test_a_device_or_precision_that_a_backend_does_not_have_is_refused(
    backend: str, options: dict[str, str], kind: type[Exception], message: str, forms: dict[Form, Bundle]
) -> None:
    bundle = forms["weights" if backend == "torch" else "onnx"]
    with pytest.raises(kind, match=message):
        open_session(bundle, backend, Compute(**options))


def test_a_device_that_there_is_not_is_refused_by_its_name() -> None:
    with pytest.raises(UsageError, match="there is no device 'gpu0'; expected auto, cpu, cuda or cuda:N"):
        Compute(device="gpu0")


def test_a_graph_without_description_is_refused(onnx_bundle: Bundle) -> None:
    model = msgspec.structs.replace(onnx_bundle.model, graph=None)
    with pytest.raises(InputError, match="describes no graph"):
        open_session(Bundle(path=onnx_bundle.path, model=model, labels=onnx_bundle.labels))


class Recorder(OneAtATime):
    """A session of a given batch size that returns the first pixel of every image."""

    name = "recorder"
    input_shape = (1, 1, 1)
    num_classes = 1

    def __init__(self, batch_size: int | None) -> None:
        self.batch_size = batch_size
        self.sizes: list[int] = []

    def __call__(self, batch: Pixels, /) -> Pixels:
        self.sizes.append(len(batch))
        return batch[:, :, 0, 0]

    def close(self) -> None: ...


@pytest.mark.parametrize(("fixed", "sizes"), [(None, [3, 3, 1]), (4, [4, 4])])
def test_many_images_are_run_in_batches(fixed: int | None, sizes: list[int]) -> None:
    session = Recorder(fixed)
    images = np.arange(7, dtype=np.float32).reshape(7, 1, 1, 1)
    assert run_in_batches(session, images, 3).ravel().tolist() == list(range(7))
    assert session.sizes == sizes


def image_graph(**options: Any) -> Graph:
    return Graph(input_name="image", input_shape=(None, 3, PX, PX), output_name="probabilities", **options)


def test_a_graph_of_images_is_given_the_images_that_pixels_were_made_of(preprocess: Preprocess) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
    graph = image_graph(input_values="image", input_layout="nhwc")
    for odd in (
        {},
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        {"divisor": 1.0, "std": (58.4,) * 3},
    ):
        kind = msgspec.structs.replace(preprocess, **odd)
        given = graph_input(kind.normalize(images), graph, kind)
        assert np.array_equal(given, images.transpose(0, 2, 3, 1))
        assert given.dtype == np.uint8


def test_what_was_no_image_is_not_rounded_to_one(preprocess: Preprocess) -> None:
    with pytest.raises(UsageError, match="the graph takes 8-bit images"):
        graph_input(pixels(1), image_graph(input_values="image"), preprocess)


def test_probabilities_become_logits_of_the_same_meaning() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 200.0]])
    found = logits_of(softmax(logits), image_graph(output_values="probabilities"), "softmax")
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_allclose(softmax(found), softmax(logits), atol=1e-7)
