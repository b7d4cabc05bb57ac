import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import msgspec
import pytest

from tests.report.pages import training_log
from tests.support.documents import ROOT
from xception.charts import BLUE, LIGHT_COLOURS, PAGE_COLOURS, Chart
from xception.errors import UsageError
from xception.report.document import Report
from xception.speed.benchmark import Run
from xception.speed.charts import throughput
from xception.tasks.charts import reliability
from xception.tasks.evaluation import ConfidenceBin
from xception.train.charts import training_curves
from xception.train.logs import Epoch


def runs(report: Report) -> list[tuple[str, Run]]:
    return [(form.name, form.run) for form in report.forms]


def curves(history: Sequence[Epoch]) -> str:
    chart = training_curves(history)
    assert chart
    return chart.__html__()


def draw(report: Report) -> list[str]:
    return [curves(report.history), throughput(runs(report)).__html__()]


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
    assert len(set(PAGE_COLOURS)) == len(set(PAGE_COLOURS.values())) == 6


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
    assert curves(report.history[:-1]) != pictures[0]


def test_drawing_leaves_the_settings_of_matplotlib_alone(report: Report) -> None:
    before = dict(mpl.rcParams)
    curves(report.history)
    assert dict(mpl.rcParams) == before


def test_throughput_names_every_form_bottleneck_and_rate(report: Report, pictures: list[str]) -> None:
    svg = pictures[1]
    for form in report.forms:
        assert f"{form.name}: batch 8, infer is the bottleneck" in svg
        for rate in (*form.run.stages.values(), form.run.end_to_end):
            assert f">{rate.images_per_second:,.0f}<" in svg


def test_the_users_settings_of_matplotlib_change_no_picture(report: Report, pictures: list[str]) -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        changed = curves(report.history)
    assert changed == pictures[0]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_throughput_draws_any_number_of_forms(report: Report, count: int) -> None:
    assert throughput(runs(report)[:count]).__html__().count("is the bottleneck") == count


def test_names_of_forms_are_text_and_never_markup_or_formulas(report: Report) -> None:
    svg = throughput([(r"<script>$\frac{</script>", report.forms[0].run)]).__html__()
    assert "<script" not in svg
    assert r"&lt;script&gt;$\frac{&lt;/script&gt;" in svg


def test_the_best_epoch_is_named() -> None:
    points = training_log(5)
    assert f"{points[4].validation_top1:.2%} at epoch 5" in curves(points)


def test_epochs_without_a_validation_are_left_out_and_without_any_there_is_no_chart() -> None:
    unseen = [msgspec.structs.replace(row, validation_loss=None, validation_top1=None) for row in training_log(3)]
    assert curves([*unseen[:2], training_log(3)[2]]) == curves(training_log(3)[2:])
    assert training_curves(unseen) is training_curves([]) is None


def test_a_single_epoch_can_be_drawn() -> None:
    assert "at epoch 1" in curves(training_log(1))


def test_the_reliability_diagram_draws_a_bar_a_filled_bin() -> None:
    def bars(images: list[int]) -> int:
        entries = [
            ConfidenceBin(low=index / 4, high=(index + 1) / 4, images=count, confidence=0.5, accuracy=0.5)
            for index, count in enumerate(images)
        ]
        return len(re.findall(r"fill: var\(--(?:blue|grey)\)", reliability(entries).__html__()))

    # The dots of the line are drawn from one definition, which adds none.
    assert bars([3, 0, 2, 1]) - bars([3, 0, 0, 1]) == 2


def test_a_chart_that_stands_alone_is_a_document_in_the_light_colours_of_the_pages(tmp_path: Path) -> None:
    style = (ROOT / "src/xception/report/templates/report.css").read_text(encoding="utf-8")
    light = style[: style.index("prefers-color-scheme: dark")]
    for stand_in, colour in LIGHT_COLOURS.items():
        assert f"{PAGE_COLOURS[stand_in][4:-1]}: {colour};" in light
    chart = training_curves(training_log(5))
    assert chart
    svg = chart.write(tmp_path / "new/curves.svg").read_text(encoding="utf-8")
    assert svg == chart._repr_svg_()
    assert ET.fromstring(svg).get("width")
    assert LIGHT_COLOURS[BLUE] in svg
    assert "var(" not in svg
    assert not any(stand_in in svg for stand_in in PAGE_COLOURS)


def test_a_chart_is_written_as_svg_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'curves.png' does not end with .svg"):
        Chart("empty", (1, 1), lambda _: None).write(tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())
