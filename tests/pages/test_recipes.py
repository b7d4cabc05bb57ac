"""The page on recipes and the code say the same."""

import re

import msgspec
import pytest

from pages.recipes import PAGE, picture, updated
from tests.train.formulas import CASES
from xception.data.augment import Augment
from xception.train.recipe import Recipe, shipped
from xception.train.settings import Settings


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_drawing_shows_every_schedule() -> None:
    assert picture().count("<polyline") == len(CASES)


def test_a_wrong_table_would_be_noticed(page: str) -> None:
    assert updated(page.replace("| 120 x 256 |", "| 121 x 256 |", 1)) == page


def test_every_recipe_and_every_setting_is_on_the_page(page: str) -> None:
    assert [name for name in shipped() if f"`{name}`" not in page] == []
    groups: set[type[msgspec.Struct]] = {Recipe, Augment, *Settings.__subclasses__()}
    words = set(re.findall(r"`([\w.]+)`", page))
    fields = {field.rpartition(".")[2] for field in words}
    missing = {name for group in groups for name in group.__struct_fields__} - fields
    assert missing == set()
