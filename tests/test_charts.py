import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from tests.report.pages import sample, training_log
from xception.charts import BLUE, LIGHT_COLOURS, PAGE_COLOURS, Chart
from xception.errors import UsageError
from xception.report.document import Report
from xception.speed.benchmark import Run
from xception.speed.charts import throughput
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
def report() -> Report:
    return sample()


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


def test_the_users_settings_of_matplotlib_change_no_picture(report: Report, pictures: list[str]) -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        changed = curves(report.history)
    assert changed == pictures[0]


def test_a_chart_by_itself_is_a_document_in_the_light_colours_of_the_pages(tmp_path: Path) -> None:
    style = files("xception.report").joinpath("templates/report.css").read_text(encoding="utf-8")
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
