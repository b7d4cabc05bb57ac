import numpy as np
import pytest

from tests.report.browser import Page, outside_references
from tests.report.pages import bundle, mistake
from tests.support.samples import OneAtATime
from xception.data.source import Item
from xception.intervals import Interval
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Failure, Scored
from xception.report.comparison import points_and_bounds, render_comparison
from xception.report.html import percent_text
from xception.tasks.compare import Comparison, PairedTally

HOSTILE = '<script>alert("1")</script>'


class Named(OneAtATime):
    """As much of a session as a document needs."""

    name, input_shape, num_classes, batch_size = "onnxruntime", (1, 2, 2), 7, None

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        return pixels

    def close(self) -> None:
        pass


def compared(images: int, noise: float) -> Comparison:
    tally = PairedTally(("ant", HOSTILE, "cat", "dog", "eel", "fox", "gnu"))
    rng = np.random.default_rng(0)
    for index in range(images):
        logits = rng.normal(size=7).astype(np.float32)
        item = Item(f"{index:03d}.png", index % 7, bytes)
        other = logits + np.float32(noise) * rng.normal(size=7).astype(np.float32)
        tally.add(Scored(item, logits), Scored(item, other))
    tally.add(Failure("bad.png", HOSTILE), Failure("bad.png", HOSTILE))
    engine = Engine.of(bundle("onnx", "int8", 1, "0"), Named())
    return tally.comparison(engine, engine, "faces:test", images + 1, 0.01)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compared(60, 0.5)


@pytest.fixture(scope="module")
def html(comparison: Comparison) -> str:
    return render_comparison(comparison, {flip.path: mistake("0001").image for flip in comparison.worst_flips[1:]})


def test_the_page_is_well_formed_and_fetches_nothing(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert outside_references(html) == []
    assert "script" not in {tag for tag, _ in page.elements}
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_figure_is_on_the_page(comparison: Comparison, html: str) -> None:
    text = Page(html).text
    assert "Undecided: 60 images do not tell whether the second, digits is as good as the first, digits, within" in text
    assert "within 1 point of top-1 accuracy; about " in text
    assert "61 = 60 seen + 1 failed" in text
    for side in (comparison.first, comparison.second):
        assert side.score.top1
        assert percent_text(side.score.top1.value) in text
        assert f"{side.score.loss:.4f}" in text
    counts = (comparison.both_right, comparison.first_only, comparison.second_only, comparison.both_wrong)
    names = ("Both right", "Only the first right", "Only the second right", "Neither right")
    assert all(f"{name}{count}" in text for name, count in zip(names, counts, strict=True))
    assert f"{comparison.mcnemar_p:.3g}" in text
    for interval in (comparison.difference, comparison.bootstrap):
        assert "".join(points_and_bounds(interval)) in text


def test_flips_have_their_pictures_and_are_explained(comparison: Comparison, html: str) -> None:
    page = Page(html)
    assert sum(tag == "img" for tag, _ in page.elements) == len(comparison.worst_flips) - 1 > 3
    assert page.text.count("The picture cannot be read any more.") == 1
    for flip in comparison.worst_flips:
        assert f"{100 * flip.swing:+.1f} points" in page.text
        assert f"{flip.second} at {percent_text(flip.second_probability)}" in page.text


def test_models_that_never_differ_are_said_not_to() -> None:
    assert "Both name the same class for every image." in render_comparison(compared(5, 0), {})


def test_nothing_readable_has_no_figures() -> None:
    text = Page(render_comparison(compared(0, 0), {})).text
    assert "1 = 0 seen + 1 failed" in text
    assert "no images" in text
    assert "Images with different predictions" not in text


def test_a_difference_is_said_in_points() -> None:
    assert points_and_bounds(Interval(value=-0.0125, low=-0.02, high=0.001)) == ("-1.25", "-2.00 to +0.10 points")
