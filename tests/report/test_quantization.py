from dataclasses import replace

from xception.report.quantization import MethodRow, QuantizationPage, RateRow, render_quantization
from xception.statistics import Interval

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


def test_names_below_the_chart_are_those_of_high_bars_that_lie_apart() -> None:
    names = [f"layer{index:02d}" for index in range(48)]
    errors = dict.fromkeys(names, 0.01) | {"layer20": 0.9, "layer21": 0.8, "layer40": 0.7}
    html = render_quantization(replace(PAGE, layers=errors, sensitivity={}))
    assert "layer20<" in html
    assert "layer40<" in html
    assert "layer21<" not in html
