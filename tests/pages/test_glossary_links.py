"""Words of the glossary are links where a page first uses them."""

import pytest

from pages.glossary_links import EVERYDAY, GLOSSARY, HEADING, with_links


def test_the_first_use_of_a_word_leads_to_its_explanation() -> None:
    page = "A bundle has a digest.\nThe digest of the bundle.\n"
    assert with_links(page, "glossary.md") == (
        "A [bundle](glossary.md#bundle) has a [digest](glossary.md#digest).\nThe digest of the bundle.\n"
    )


@pytest.mark.parametrize(
    "page",
    ["# Bundles\n", "| bundle |\n", "```sh\nbundle\n```\n", "`bundle`\n", "[a bundle](bundle.md)\n", "Unbundled.\n"],
)
def test_headings_tables_code_links_and_parts_of_words_are_left_as_they_are(page: str) -> None:
    assert with_links(page, "glossary.md") == page


def test_a_page_with_links_is_not_changed_again() -> None:
    page = "Later, see [bundles](../glossary.md#bundle).\nA bundle has one recipe.\n"
    once = with_links(page, "../glossary.md")
    assert once == page.replace("recipe", "[recipe](../glossary.md#recipe)")
    assert with_links(once, "../glossary.md") == once


def test_the_glossary_is_sorted_and_has_every_everyday_word() -> None:
    words = HEADING.findall(GLOSSARY.read_text(encoding="utf-8"))
    assert words == sorted(words, key=str.lower)
    assert set(words) >= EVERYDAY
