"""The cards at the top of a page, laid out by a browser: every row is filled, at every width."""

from itertools import groupby

import pytest
from conftest import ROOT
from playwright.sync_api import Browser

STYLE = (ROOT / "src/xception/report/templates/report.css").read_text(encoding="utf-8")
WIDTHS = (390, 768, 1280)
"""A phone, a tablet, and a desktop."""


def empty_px(browser: Browser, style: str, cards: int, width: int) -> list[float]:
    """The room to the right of each row's last card."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    card = "<div><dt>Top-1 accuracy</dt><dd class=value>98.89 %</dd><dd><small>97.19-98.96 %</small></dd></div>"
    page.set_content(f"<style>{style}</style><main><dl class=cards>{cards * card}</dl></main>")
    boxes = page.evaluate("[...document.querySelectorAll('.cards > div')].map((one) => one.getBoundingClientRect())")
    right = page.evaluate("document.querySelector('.cards').getBoundingClientRect().right")
    page.close()
    return [right - max(box["right"] for box in row) for _, row in groupby(boxes, key=lambda box: box["top"])]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("cards", range(2, 9))
def test_no_card_stands_next_to_an_empty_place(browser: Browser, cards: int, width: int) -> None:
    assert max(empty_px(browser, STYLE, cards, width)) < 1


def test_a_lonely_card_would_be_noticed(browser: Browser) -> None:
    grid = ".cards { display: grid; grid-template-columns: 1fr 1fr; }"
    assert max(empty_px(browser, grid, 5, 390)) > 100
