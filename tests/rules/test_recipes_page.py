"""The page on recipes and the code say the same."""

import re

import pytest

from tests.rules.recipes_page import PAGE, PICTURE, picture, updated
from tests.train.formulas import CASES
from xception.data.augment import Augment
from xception.train.recipe import Recipe, shipped
from xception.train.settings import Settings

REMEDY = "run python -m tests.rules.recipes_page"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_drawing_shows_todays_schedules() -> None:
    drawn = picture()
    assert PICTURE.read_text(encoding="utf-8") == drawn, REMEDY
    assert drawn.count("<polyline") == len(CASES)


def test_the_table_is_what_the_recipes_say(page: str) -> None:
    assert updated(page) == page, REMEDY
    assert updated(page.replace("| 120 x 256 |", "| 121 x 256 |", 1)) == page


def test_every_recipe_and_every_setting_is_on_the_page(page: str) -> None:
    assert [name for name in shipped() if f"`{name}`" not in page] == []
    groups = {Recipe, Augment, *Settings.__subclasses__()}
    words = set(re.findall(r"`([\w.]+)`", page))
    fields = {field.rpartition(".")[2] for field in words}
    missing = {name for group in groups for name in group.__struct_fields__} - fields
    assert missing == set()
