"""Parts of pages, laid out by a browser: no place next to the cards is empty, and long values stay readable."""

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


def width_of_value_px(browser: Browser, style: str, width: int) -> float:
    """The room for a digest behind a long name, in a table of facts that does not go beyond its panel."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    row = f"<tr><th scope=row>models.0.preprocess.resize.width_px</th><td><code>{'5bfa3ea1' * 8}</code></td></tr>"
    table = f"<div class='panel facts'><table><tbody>{row}</tbody></table></div>"
    page.set_content(f"<style>{style}</style><main><section>{table}</section></main>")
    room, over = page.evaluate(
        "[document.querySelector('td').clientWidth, "
        "(panel => panel.scrollWidth - panel.clientWidth)(document.querySelector('.facts'))]"
    )
    page.close()
    assert over <= 0
    return float(room)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_value_has_half_of_its_table(browser: Browser, width: int) -> None:
    assert width_of_value_px(browser, STYLE, width) > min(width, 900) / 2


def test_a_value_of_one_letter_per_line_would_be_noticed(browser: Browser) -> None:
    of_phones = STYLE[STYLE.index("  .facts table {") : STYLE.index("@media print")]
    assert width_of_value_px(browser, STYLE.replace(of_phones, "}\n"), 390) < 60
