import base64
import csv
import hashlib
import io
import re

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.report.browser import Page, outside_references
from tests.report.pages import mistake
from xception.data.source import Item
from xception.pipeline.lane import Failure, Scored
from xception.report.evaluation import conclusion, evaluation_csv, render_evaluation, shown_images
from xception.report.html import percent_text
from xception.tasks.evaluation import Evaluation, FailedImage, LabelIssue, LabelIssues, Slice
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.tally import Tally

NAMES = ("ant", "bee", "<b>cat</b>")
HOSTILE = '<script>alert("1")</script>'


def evaluated(names: tuple[str, ...], images: int = 40) -> Evaluation:
    """Random logits, one image without pixels, and several right answers."""
    rng = np.random.default_rng(0)
    with KeptLogits() as kept:
        tally = Tally(names, lambda _, position: {0} if position % 2 else set(), kept=kept)
        for index in range(images):
            logits = rng.normal(size=len(names)).astype(np.float32)
            tally.add(Scored(Item(f"{index:02d}.png", index % len(names), bytes), logits))
        tally.add(Failure(HOSTILE, "truncated"))
        result = tally.evaluation("runs/faces", "faces:test", "onnxruntime", images + 1)
    return msgspec.structs.replace(result, tta="flip", subset=True)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluated(NAMES)


@pytest.fixture(scope="module")
def html(evaluation: Evaluation) -> str:
    pictures = {path: mistake("0001").image for path in set(shown_images(evaluation)) - {evaluation.mistakes[0].path}}
    return render_evaluation(evaluation, pictures)


def test_the_page_is_well_formed_and_fetches_nothing(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert outside_references(html) == []
    assert "script" not in {tag for tag, _ in page.elements}
    assert HOSTILE in page.text
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in page.elements if "aria-labelledby" in attrs} <= set(ids)


def test_the_page_warns_of_images_that_the_model_was_trained_on(evaluation: Evaluation, html: str) -> None:
    warned = render_evaluation(msgspec.structs.replace(evaluation, trained_on=7), {})
    assert "was trained on 7 of the 41 images" in Page(warned).text
    assert "was trained on" not in Page(html).text


def skewed(frequent_hits: int, rare_hits: int) -> Evaluation:
    """400 images of airplane and 20 of frog."""
    tally = Tally(("airplane", "frog"))
    for target, count, hits in ((0, 400, frequent_hits), (1, 20, rare_hits)):
        for index in range(count):
            answer = target if index < hits else 1 - target
            tally.add(Scored(Item(f"{target}-{index}", target, bytes), np.eye(2, dtype=np.float32)[answer]))
    return tally.evaluation("b", "d", "torch", 420)


@pytest.mark.parametrize(
    ("hits", "is_constant", "words"),
    [
        ((400, 0), True, "Balanced accuracy is 50.00 %; 0 of 20 images of the rarest class, frog, get it."),
        ((400, 20), False, "Balanced accuracy is 100.00 %; 20 of 20 images of the rarest class, frog, get it."),
    ],
)
def test_the_rarest_of_skewed_classes_is_not_hidden_by_the_accuracy(
    hits: tuple[int, int], *, is_constant: bool, words: str
) -> None:
    said = " ".join(conclusion(skewed(*hits))).replace("\u00a0", " ")
    assert words in said
    assert ("The answer airplane for every image may reach that accuracy, too." in said) == is_constant


def test_of_even_classes_none_is_the_rarest(evaluation: Evaluation) -> None:
    assert evaluation.rarest is None
    assert "rarest" not in " ".join(conclusion(evaluation))


def test_the_balanced_loss_is_the_mean_over_the_classes_that_have_images() -> None:
    tally = Tally(("ant", "bee", "cat"))
    for target, margin in ((0, 2.0), (0, 1.0), (1, 0.0)):
        tally.add(Scored(Item("x", target, bytes), np.array([margin, 0, 0], np.float32)))
    losses = [-np.log(np.exp(2) / (np.exp(2) + 2)), -np.log(np.exp(1) / (np.exp(1) + 2)), np.log(3)]
    result = tally.evaluation("b", "d", "torch", 3)
    assert result.balanced_loss == pytest.approx((np.mean(losses[:2]) + losses[2]) / 2)
    assert result.loss == pytest.approx(np.mean(losses))
    assert Tally(("ant", "bee")).evaluation("b", "d", "torch", 0).balanced_loss is None


def test_parts_of_the_data_add_up_to_the_whole() -> None:
    whole, first, second = (Tally(NAMES[:2]) for _ in range(3))
    rng = np.random.default_rng(0)
    for index in range(60):
        item = Item(f"{index:02d}.png", index % 2, bytes)
        outcome = Scored(item, rng.normal(size=2).astype(np.float32)) if index % 7 else Failure(item.key, "broken")
        whole.add(outcome)
        (first if index % 3 else second).add(outcome)
    first.include(second)
    assert first.evaluation("b", "d", "torch", 60) == whole.evaluation("b", "d", "torch", 60)


def test_every_figure_is_on_the_page(evaluation: Evaluation, html: str) -> None:
    text = Page(html).text
    assert "faces on faces:test" in text
    assert "runs/faces, onnxruntime, choosing among the 3 classes of the data, test-time augmentation 'flip'" in text
    assert "40 seen + 1 failed" in text
    assert evaluation.real
    for interval in (*evaluation.top_k, evaluation.real.top1):
        assert interval
        assert percent_text(interval.value) in text
        assert f"{100 * interval.low:.2f}\u2013{percent_text(interval.high)}" in text
    assert f"{evaluation.loss:.4f}" in text
    assert text.count(percent_text(evaluation.expected_calibration_error)) == 3
    for entry in evaluation.classes:
        scores = "".join(map(percent_text, (entry.precision, entry.recall, entry.f1)))
        assert f"{entry.label}{entry.support}{scores}" in text
    for figure in ("balanced_accuracy", "macro_f1", "weighted_f1", "cohens_kappa", "brier_score"):
        assert f"{getattr(evaluation, figure):.4f}" in text
    for row in evaluation.calibration:
        assert not row.images or f"{row.images}{percent_text(row.confidence)}{percent_text(row.accuracy)}" in text


def test_the_class_with_the_lowest_recall_comes_first(evaluation: Evaluation, html: str) -> None:
    rows = [f"{entry.label}{entry.support}{percent_text(entry.precision)}" for entry in evaluation.classes]
    recalls = [entry.recall for entry in evaluation.classes]
    places = [Page(html).text.index(row) for row in rows]
    in_order = [recall for _, recall in sorted(zip(places, recalls, strict=True)) if recall is not None]
    assert in_order == sorted(in_order)
    assert len(set(in_order)) > 1


def test_mistakes_have_their_pictures_and_one_that_is_gone_is_still_named(evaluation: Evaluation, html: str) -> None:
    page = Page(html)
    shown = [*shown_images(evaluation)]
    gone = shown.count(evaluation.mistakes[0].path)
    assert sum(tag == "img" for tag, _ in page.elements) == len(shown) - gone > 5
    assert page.text.count("The picture cannot be read any more.") == gone
    assert all(f"{one.predicted} at {percent_text(one.probability)}" in page.text for one in evaluation.mistakes)


def test_every_failure_is_named(evaluation: Evaluation, html: str) -> None:
    assert "1 of 41 images could not be read" in html
    assert f"{HOSTILE}truncated" in Page(html).text


def test_nothing_that_could_be_read_has_no_figures() -> None:
    text = Page(render_evaluation(evaluated(NAMES, images=0), {})).text
    assert "0 seen + 1 failed" in text
    assert "Confusions" not in text
    assert "truncated" in text


def test_many_classes_are_folded_away_and_two_have_a_roc_curve() -> None:
    many = render_evaluation(evaluated(tuple(f"class {index}" for index in range(51))), {})
    assert "<details open>" not in many
    assert "51 classes" in many
    two = Page(render_evaluation(evaluated(("no", "yes")), {})).text
    assert "ROC-AUC" in two
    assert "equal error rate" in two


def rows(evaluation: Evaluation) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(evaluation_csv(evaluation))))


def test_the_table_holds_every_figure_as_a_fraction(evaluation: Evaluation) -> None:
    table = rows(evaluation)
    summary = {row["figure"]: row for row in table if row["table"] == "summary"}
    assert [int(summary[name]["value"]) for name in ("total", "seen", "failed")] == [41, 40, 1]
    assert evaluation.top1
    bounds = [float(summary["top1"][name]) for name in ("value", "low", "high")]
    assert bounds == [evaluation.top1.value, evaluation.top1.low, evaluation.top1.high]
    assert float(summary["loss"]["value"]) == evaluation.loss
    assert float(summary["roc_auc"]["value"]) == evaluation.roc_auc
    assert evaluation.macro
    bounds = [float(summary["macro.f1"][name]) for name in ("value", "low", "high")]
    assert bounds == [evaluation.macro.f1.value, evaluation.macro.f1.low, evaluation.macro.f1.high]
    assert evaluation.temperature
    assert float(summary["temperature.temperature"]["value"]) == evaluation.temperature.temperature
    assert evaluation.real
    assert int(summary["real_counted"]["value"]) == evaluation.real.counted
    counts = {(row["name"], row["figure"]): int(row["value"]) for row in table if row["table"] == "confusion"}
    assert sum(counts.values()) == 40
    assert all(
        counts.get((true, taken), 0) == evaluation.confusion[row][column]
        for row, true in enumerate(NAMES)
        for column, taken in enumerate(NAMES)
    )
    recalls = [row["value"] for row in table if (row["table"], row["figure"]) == ("class", "recall")]
    assert recalls == [str(entry.recall) for entry in evaluation.classes]
    assert [row["name"] for row in table if row["table"] == "mistake"] == [one.path for one in evaluation.mistakes]
    assert [(row["name"], row["figure"]) for row in table if row["table"] == "failure"] == [(HOSTILE, "truncated")]


def test_without_a_readable_image_the_table_has_no_accuracy() -> None:
    assert not [row for row in rows(evaluated(NAMES, images=0)) if row["figure"].startswith("top")]


def test_pictures_are_thumbnails_of_any_mode(evaluation: Evaluation) -> None:
    first = evaluation.mistakes[0].path
    assert "data:image/png" in render_evaluation(evaluation, {first: Image.new("L", (3, 900))})


def test_pairs_thresholds_temperature_and_averages_are_on_the_page(evaluation: Evaluation, html: str) -> None:
    text = Page(html).text
    for pair in evaluation.confused:
        assert f"true{pair.label}predicted{pair.predicted} {pair.count} of {pair.support} images" in text
    assert evaluation.macro
    assert evaluation.weighted
    for it in (evaluation.macro.precision, evaluation.macro.f1, evaluation.weighted.recall):
        assert f"{percent_text(it.value)}{100 * it.low:.2f}\u2013{percent_text(it.high)}" in text
    scaled = evaluation.temperature
    assert scaled
    row = f"with temperature scaling{percent_text(scaled.expected_calibration_error)}{scaled.loss:.4f}"
    assert row in text
    assert f"({scaled.of_halves[0]:.3f} and {scaled.of_halves[1]:.3f})" in text
    first = evaluation.curves[0]
    assert f"The thresholds of {first.label}" in text
    for point in first.points:
        assert f"{point.threshold:.4f}{percent_text(point.precision)}{percent_text(point.recall)}" in text


def test_labels_to_look_at_kinds_of_images_and_damage_are_on_the_page(evaluation: Evaluation) -> None:
    issue = LabelIssue(path=HOSTILE, label="ant", label_probability=0.01, suggested="bee", probability=0.9)
    part = Slice(property="colours", value="gray", images=7, top1=evaluation.top1)
    result = msgspec.structs.replace(
        evaluation,
        label_issues=LabelIssues(count=31, candidates=(issue,)),
        slices=(part,),
        damaged=(FailedImage(path="broken.jpg", reason="Corrupt JPEG data"),),
    )
    page = Page(render_evaluation(result, {}))
    assert page.open == []
    assert "31 of 40 labels are likely wrong" in page.text
    assert f"labelant at {percent_text(0.01)}likeliestbee at {percent_text(0.9)}" in page.text
    assert evaluation.top1
    assert f"coloursgray7{percent_text(evaluation.top1.value)}" in page.text
    assert "broken.jpgCorrupt JPEG data" in page.text


def test_long_tables_are_searched_by_a_script_that_the_page_s_policy_names() -> None:
    html = render_evaluation(evaluated(tuple(f"class {index}" for index in range(51))), {})
    page = Page(html)
    assert page.open == []
    assert outside_references(html) == []
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert policy is not None
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" == policy
    searched = [attrs["data-searched"] for tag, attrs in page.elements if tag == "table" and "data-searched" in attrs]
    assert searched == ["classes"]
    assert "fetch" not in script
