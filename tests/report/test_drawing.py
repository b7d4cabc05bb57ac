import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from xception.arch.spec import Norm
from xception.arch.variants import VARIANTS
from xception.errors import EnvironmentFault
from xception.report.anatomy import cards
from xception.report.drawing import draw, write_drawing

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=list(VARIANTS))
def drawn(request: pytest.FixtureRequest) -> tuple[str, ET.Element]:
    return request.param, ET.fromstring(draw(VARIANTS[request.param]))


def numbers(element: ET.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def test_every_network_is_drawn_with_all_its_operations(drawn: tuple[str, ET.Element]) -> None:
    name, root = drawn
    rows = [
        row
        for card in cards(VARIANTS[name])
        for row in (*card.before, *(row for unit in card.units for row in unit), *(card.shortcut or ()), *card.after)
    ]
    legend = 4
    assert len(root.findall(f"{SVG}g[@class='chip']")) == sum(map(len, rows)) + legend


def test_nothing_lies_outside_the_picture(drawn: tuple[str, ET.Element]) -> None:
    _, root = drawn
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for rect in root.iter(f"{SVG}rect"):
        x, y = (float(rect.attrib.get(name, 0)) for name in ("x", "y"))
        w, h = numbers(rect, "width", "height")
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_words_fit_into_their_chips(drawn: tuple[str, ET.Element]) -> None:
    _, root = drawn
    for chip in root.iter(f"{SVG}g"):
        rect, text = chip
        # Digits and letters of a sans-serif face are about 0.58 of its size wide.
        assert len(text.text or "") * 0.58 * 11.5 <= float(rect.attrib["width"])


def test_chips_of_one_card_do_not_overlap(drawn: tuple[str, ET.Element]) -> None:
    _, root = drawn
    boxes = [numbers(chip[0], "x", "y", "width", "height") for chip in root.iter(f"{SVG}g")]
    for index, (x, y, w, h) in enumerate(boxes):
        for other_x, other_y, other_w, other_h in boxes[:index]:
            apart = x >= other_x + other_w or other_x >= x + w or y >= other_y + other_h or other_y >= y + h
            assert apart


def test_the_same_network_gives_the_same_bytes_and_another_epsilon_does_not() -> None:
    spec = VARIANTS["keras_xception"]
    assert draw(spec) == draw(spec)
    assert draw(replace(spec, norm=Norm(epsilon=1e-5, momentum=0.01))) != draw(spec)


def test_a_drawing_needs_nothing_but_itself() -> None:
    text = draw(VARIANTS["keras_xception"])
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text


def test_a_name_cannot_break_out_of_the_text() -> None:
    root = ET.fromstring(draw(replace(VARIANTS["mini_xception"], name="<b>&")))
    assert root.findtext(f"{SVG}text") == "<b>&"


def test_a_drawing_is_written_or_the_place_is_refused(tmp_path: Path) -> None:
    spec = VARIANTS["mini_xception"]
    write_drawing(spec, tmp_path / "mini.svg")
    assert (tmp_path / "mini.svg").read_text(encoding="utf-8") == draw(spec)
    with pytest.raises(EnvironmentFault, match="choose a place"):
        write_drawing(spec, tmp_path / "mini.svg" / "under a file.svg")
