import base64
import io
import re

import matplotlib as mpl
import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.report.pages import training_log
from xception.report.document import Report
from xception.report.plots import THEME, THUMBNAIL_PX, overlay, png_uri, reliability, throughput, training_curves
from xception.speed.benchmark import Run
from xception.tasks.evaluation import ConfidenceBin


def opened(uri: str) -> Image.Image:
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def runs(report: Report) -> list[tuple[str, Run]]:
    return [(form.name, form.run) for form in report.forms]


def draw(report: Report) -> list[str]:
    return [training_curves(report.history), throughput(runs(report))]


@pytest.fixture(scope="module")
def pictures(report: Report) -> list[str]:
    return draw(report)


def test_pictures_are_bare_scalable_svg_elements(pictures: list[str]) -> None:
    for svg in pictures:
        assert re.match(r'<svg viewBox="[\d. ]+">', svg)
        assert svg.rstrip().endswith("</svg>")
        assert "<metadata" not in svg


def test_every_colour_is_one_of_the_pages_variables(pictures: list[str]) -> None:
    for svg in pictures:
        assert not re.search(r"#[0-9a-f]{6}\b", svg)
        assert "var(--blue)" in svg


def test_stand_in_colours_are_distinct() -> None:
    assert len(set(THEME)) == len(set(THEME.values())) == 6


def test_ids_of_two_pictures_never_meet_and_references_resolve(pictures: list[str]) -> None:
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in pictures]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip(pictures, ids, strict=True):
        references = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
        assert references
        assert references <= own


def test_the_same_figures_give_the_same_bytes_and_others_do_not(report: Report, pictures: list[str]) -> None:
    assert draw(report) == pictures
    assert training_curves(report.history[:-1]) != pictures[0]


def test_drawing_leaves_the_settings_of_matplotlib_alone(report: Report) -> None:
    before = dict(mpl.rcParams)
    training_curves(report.history)
    assert dict(mpl.rcParams) == before


def test_throughput_names_every_form_bottleneck_and_rate(report: Report, pictures: list[str]) -> None:
    svg = pictures[1]
    for form in report.forms:
        assert f"{form.name}: batch 8, infer is the bottleneck" in svg
        for rate in (*form.run.stages.values(), form.run.end_to_end):
            assert f">{rate.images_per_second:,.0f}<" in svg


def test_the_users_settings_of_matplotlib_change_no_picture(report: Report, pictures: list[str]) -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        changed = training_curves(report.history)
    assert changed == pictures[0]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_throughput_draws_any_number_of_forms(report: Report, count: int) -> None:
    assert throughput(runs(report)[:count]).count("is the bottleneck") == count


def test_names_of_forms_are_text_and_never_markup_or_formulas(report: Report) -> None:
    svg = throughput([(r"<script>$\frac{</script>", report.forms[0].run)])
    assert "<script" not in svg
    assert r"&lt;script&gt;$\frac{&lt;/script&gt;" in svg


def test_the_best_epoch_is_named() -> None:
    points = training_log(5)
    assert f"{points[4].validation_top1:.2%} at epoch 5" in training_curves(points)


def test_epochs_without_a_validation_are_left_out_and_without_any_there_is_no_chart() -> None:
    unseen = [msgspec.structs.replace(row, validation_loss=None, validation_top1=None) for row in training_log(3)]
    assert training_curves([*unseen[:2], training_log(3)[2]]) == training_curves(training_log(3)[2:])
    assert training_curves(unseen) == training_curves([]) == ""


def test_a_single_epoch_can_be_drawn() -> None:
    assert "at epoch 1" in training_curves(training_log(1))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1"])
def test_images_of_every_mode_become_rgb_thumbnails(mode: str) -> None:
    image = opened(png_uri(Image.new("RGB", (30, 60), "orange").convert(mode)))
    assert image.mode == "RGB"
    assert image.size == (THUMBNAIL_PX // 2, THUMBNAIL_PX)


def test_small_images_keep_their_hard_pixels_and_large_ones_are_smoothed() -> None:
    board = np.uint8(np.indices((400, 400)).sum(0) % 2 * 255)
    small, large = opened(png_uri(Image.fromarray(board[:8, :8]))), opened(png_uri(Image.fromarray(board)))
    assert set(np.unique(small)) == {0, 255}
    assert len(np.unique(large)) > 2


def test_colour_lies_where_the_evidence_is_and_the_rest_stays_grey() -> None:
    evidence = np.zeros((2, 2), np.float32)
    evidence[0, 1] = 1
    pixels = np.asarray(overlay(Image.new("L", (64, 64), 90), evidence)).astype(int)
    chroma = np.ptp(pixels, axis=2)
    assert chroma[10, -10] > 50
    assert chroma[-10, 10] == 0
    assert (pixels[-10, 10] == 90).all()


def test_the_range_of_a_class_map_does_not_matter() -> None:
    image, evidence = Image.new("RGB", (64, 48), "gray"), np.random.default_rng(0).random((3, 4))
    assert np.array_equal(overlay(image, evidence), overlay(image, 512 * evidence - 128))


def test_a_flat_class_map_colours_nothing() -> None:
    assert (np.asarray(overlay(Image.new("L", (9, 9), 70), np.full((3, 3), 5.0))) == 70).all()


def test_the_reliability_diagram_draws_a_bar_a_filled_bin() -> None:
    def bars(images: list[int]) -> int:
        entries = [
            ConfidenceBin(low=index / 4, high=(index + 1) / 4, images=count, confidence=0.5, accuracy=0.5)
            for index, count in enumerate(images)
        ]
        return len(re.findall(r"fill: var\(--(?:blue|grey)\)", reliability(entries)))

    # The dots of the line are drawn from one definition, which adds none.
    assert bars([3, 0, 2, 1]) - bars([3, 0, 0, 1]) == 2
