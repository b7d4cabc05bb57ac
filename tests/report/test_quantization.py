from dataclasses import replace as with_fields

import pytest
from msgspec.structs import replace
from PIL import Image

from tests.report.browser import Page
from xception.bundle import Bundle, FileHash, Score
from xception.intervals import Interval
from xception.quantize.calibration import Provenance
from xception.quantize.gate import Verdict
from xception.quantize.layers import LayerError
from xception.quantize.processor import Processor
from xception.quantize.record import Quantization, Trial
from xception.report.quantization import outcome, render_quantization
from xception.tasks.compare import Flip

TOP1 = Interval(value=0.9, low=0.88, high=0.92)
SCORE = Score(total=700, seen=700, failed=0, top1=TOP1, top5=None, loss=None)
VERDICT = Verdict(
    data="digits",
    parent=SCORE,
    candidate=SCORE,
    difference=TOP1,
    p_value=1.0,
    non_inferiority=None,
    top1_agreement=0.99,
    logit_error=0.01,
    tolerance=0.005,
    passed=True,
    reasons=(),
)
WORSE = replace(VERDICT, passed=False, reasons=("worse",))
MISSING = "nncf is not installed"
TRIALS = (
    Trial(method="max", verdict=WORSE, error=None, seconds=1.0, size_bytes=1_000_000, range_error=2e-3),
    Trial(method="nncf", verdict=None, error=MISSING, seconds=0.1, size_bytes=None, range_error=None),
    Trial(method="mse", verdict=VERDICT, error=None, seconds=2.0, size_bytes=1_000_000, range_error=1e-3),
)
FLIP = Flip(
    path="0/<a>.png",
    label="zero",
    first="zero",
    first_probability=0.51,
    second="eight",
    second_probability=0.72,
    swing=-0.3,
)
RESULT = Quantization(
    source="0" * 64,
    target="onnx",
    is_signed=False,
    weight_bits=7,
    calibration=Provenance(data="digits", images=200, classes=10, digest="0" * 64),
    processor=Processor(machine="x86_64", instructions=()),
    trials=TRIALS,
    chosen="mse",
    passed=True,
    layers=(LayerError(name="stem", error=0.01), LayerError(name="head", error=0.2)),
    sensitivity=(LayerError(name="head", error=0.1),),
    scales=(),
    flips=(FLIP,),
)
PICTURES = {"0/<a>.png": Image.new("L", (8, 8))}


@pytest.fixture
def parent(onnx_bundle: Bundle) -> Bundle:
    files = {"model.onnx": FileHash(sha256="0" * 64, size_bytes=4_000_000)}
    return with_fields(onnx_bundle, model=replace(onnx_bundle.model, name="a <model>", files=files))


def unlabelled(result: Quantization) -> Quantization:
    bare = replace(SCORE, top1=None)
    trial = replace(TRIALS[2], verdict=replace(VERDICT, parent=bare, candidate=bare, difference=None))
    return replace(result, trials=(trial,))


def test_the_page_shows_every_method_and_the_layers(parent: Bundle) -> None:
    html = render_quantization(RESULT, parent, PICTURES)
    for text in (
        "not tried: nncf is not installed",
        "failed; worse",
        "25\u00a0%",
        "Calibrated on 200 images of digits",
        "2.00e-03 by max, 1.00e-03 by mse",
    ):
        assert text in html
    assert "a &lt;model&gt;" in html
    assert "<model>" not in html
    assert "head" in html
    assert html == render_quantization(RESULT, parent, PICTURES)


def test_what_was_not_measured_has_no_section(parent: Bundle) -> None:
    html = render_quantization(replace(RESULT, layers=(), trials=TRIALS[1:2], chosen=None, flips=()), parent, {})
    assert "<svg" not in html
    assert "of float32" not in html
    assert "Images whose answer changed" not in html
    assert "no labels" in html


def test_the_gates_word_comes_with_its_reasons() -> None:
    assert [outcome(trial) for trial in TRIALS] == ["failed; worse", f"not tried: {MISSING}", "passed"]


def test_images_whose_answer_changed_are_shown_with_both_answers(parent: Bundle) -> None:
    page = Page(render_quantization(RESULT, parent, PICTURES))
    assert "1 of 7, as the network sees them" in page.text
    for text in ("zero -30.0 points", "zero at 51.00\xa0%", "eight at 72.00\xa0%", "0/<a>.png"):
        assert text in " ".join(page.text.split(" "))
    assert [attributes["alt"] for tag, attributes in page.elements if tag == "img"] == [
        "Image 0/<a>.png, true label zero"
    ]
    assert not page.open


def test_an_image_without_a_label_or_a_picture_is_named_all_the_same(parent: Bundle) -> None:
    result = unlabelled(replace(RESULT, flips=(replace(FLIP, label=None),)))
    page = Page(render_quantization(result, parent, {}))
    assert "The picture cannot be read any more." in page.text
    assert "the probability of float32's class" in page.text
    assert not any(tag == "img" for tag, _ in page.elements)


def test_names_below_the_chart_are_those_of_high_bars_that_lie_apart(parent: Bundle) -> None:
    errors = {f"layer{index:02d}": 0.01 for index in range(48)} | {"layer20": 0.9, "layer21": 0.8, "layer40": 0.7}
    layers = tuple(LayerError(name=name, error=error) for name, error in errors.items())
    html = render_quantization(replace(RESULT, layers=layers, sensitivity=()), parent, PICTURES)
    assert "layer20<" in html
    assert "layer40<" in html
    assert "layer21<" not in html
