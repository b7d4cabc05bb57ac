from dataclasses import replace

from msgspec.structs import replace as altered
from PIL import Image

from tests.report.browser import Page
from xception.intervals import Interval
from xception.report.quantization import MethodRow, QuantizationPage, RateRow, render_quantization
from xception.tasks.compare import Flip

TOP1 = Interval(value=0.9, low=0.88, high=0.92)
PAGE = QuantizationPage(
    title="a <model>",
    sentence="int8 by mse: fine",
    passed=True,
    parent=TOP1,
    methods=(
        MethodRow(name="max", top1=TOP1, range_error=2e-3, seconds=1.0, outcome="failed; worse"),
        MethodRow(name="nncf", seconds=0.1, outcome="not tried: nncf is not installed"),
        MethodRow(
            name="mse", top1=TOP1, difference=TOP1, agreement=0.99, range_error=1e-3, seconds=2, outcome="passed"
        ),
    ),
    layers={"stem": 0.01, "head": 0.2},
    sensitivity={"head": 0.1},
    rates=(
        RateRow(name="onnxruntime float32", images_per_second=8, size_bytes=4_000_000),
        RateRow(name="onnxruntime int8", images_per_second=20, size_bytes=1_000_000),
    ),
    calibration="Calibrated on 200 images of digits",
    changed=7,
    flips=(
        Flip(
            path="0/<a>.png",
            label="zero",
            first="zero",
            first_probability=0.51,
            second="eight",
            second_probability=0.72,
            swing=-0.3,
        ),
    ),
    pictures={"0/<a>.png": Image.new("L", (8, 8))},
)


def test_the_page_shows_every_method_the_layers_and_the_rates() -> None:
    html = render_quantization(PAGE)
    for text in (
        "not tried: nncf is not installed",
        "failed; worse",
        "x 2.50",
        "25%",
        "2.00e-03 by max, 1.00e-03 by mse",
    ):
        assert text in html
    assert "a &lt;model&gt;" in html
    assert "<model>" not in html
    assert "head" in html
    assert html == render_quantization(PAGE)


def test_what_was_not_measured_has_no_section() -> None:
    html = render_quantization(replace(PAGE, layers={}, rates=(), methods=PAGE.methods[:1], passed=False, parent=None))
    assert "<svg" not in html
    assert "Rate on this machine" not in html
    assert "no labels" in html


def test_images_whose_answer_changed_are_shown_with_both_answers() -> None:
    html = render_quantization(PAGE)
    page = Page(html)
    assert "1 of 7, as the network sees them" in page.text
    for text in ("zero -30.0 points", "zero at 51.00\xa0%", "eight at 72.00\xa0%", "0/<a>.png"):
        assert text in " ".join(page.text.split(" "))
    assert [attributes["alt"] for tag, attributes in page.elements if tag == "img"] == [
        "Image 0/<a>.png, true label zero"
    ]
    assert not page.open


def test_an_image_without_a_label_or_a_picture_is_named_all_the_same() -> None:
    flip = altered(PAGE.flips[0], label=None)
    page = Page(render_quantization(replace(PAGE, flips=(flip,), pictures={}, parent=None)))
    assert "The picture cannot be read any more." in page.text
    assert "the probability of float32's class" in page.text
    assert not any(tag == "img" for tag, _ in page.elements)


def test_without_changes_there_are_no_pictures() -> None:
    assert "Images whose answer changed" not in render_quantization(replace(PAGE, flips=(), changed=0, pictures={}))


def test_names_below_the_chart_are_those_of_high_bars_that_lie_apart() -> None:
    names = [f"layer{index:02d}" for index in range(48)]
    errors = dict.fromkeys(names, 0.01) | {"layer20": 0.9, "layer21": 0.8, "layer40": 0.7}
    html = render_quantization(replace(PAGE, layers=errors, sensitivity={}))
    assert "layer20<" in html
    assert "layer40<" in html
    assert "layer21<" not in html
