"""Every page that is made from the code is up to date."""

from pathlib import Path

import pytest

from pages import table
from pages.markdown import with_tables
from pages.table import PAGES, outdated, write_pages


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_code_gives(page: str) -> None:
    assert outdated(page) == [], "run make pages"


def test_an_outdated_and_a_missing_file_are_found_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, missing = tmp_path / "old.md", tmp_path / "pictures" / "missing.svg"
    old.write_text("yesterday")
    monkeypatch.setattr(table, "PAGES", {"page": lambda: {old: "today", missing: "drawn"}})
    assert outdated("page") == [old, missing]
    assert write_pages() == [old, missing]
    assert (old.read_text(), missing.read_text(), outdated("page")) == ("today", "drawn", [])


def test_a_page_without_a_place_for_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table 'sizes'"):
        with_tables("<!-- agreement -->\n<!-- /agreement -->", {"sizes": "| a |"})
