"""The page on conversion and the table of known tensors say the same."""

from pages.conversion import PAGE, table, updated
from xception.convert.known_extras import KNOWN_EXTRAS


def test_the_page_has_a_row_per_kind_of_tensor() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert updated(text) == text
    assert len(table().splitlines()) == len(KNOWN_EXTRAS) + 2


def test_a_table_that_was_changed_by_hand_is_noticed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    changed = text.replace("`n_averaged`", "`averaged`")
    assert changed != text
    assert updated(changed) == text
