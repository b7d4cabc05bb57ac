"""The page on Python has every public name once."""

import xception
from pages.python_api import GROUPS, section, summary


def test_every_public_name_stands_below_one_heading() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == xception.__all__


def test_every_name_says_what_it_is() -> None:
    assert all(summary(name) for names in GROUPS.values() for name in names)


def test_a_name_stands_in_the_table_and_is_rendered() -> None:
    text = section("Errors")
    assert "| `UsageError` |" in text
    assert "::: xception.UsageError" in text
