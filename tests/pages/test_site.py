"""The site of the manual: every page is in its menu, and links that leave the manual's folder lead somewhere."""

from types import SimpleNamespace
from typing import Any

import yaml

from pages.markdown import ROOT
from pages.site import INSTALL, install_page, on_page_markdown

DOCS = ROOT / "docs"


def entries(menu: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The title and the page of each entry, those of groups within the menu included."""
    found = [pair for part in menu for pair in part.items()]
    return [entry for title, part in found for entry in (entries(part) if isinstance(part, list) else [(title, part)])]


MENU = entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])


def test_every_page_is_in_the_menu_once() -> None:
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(page for _, page in MENU) == sorted([INSTALL, *pages])


def test_the_menu_calls_each_page_as_its_heading_does() -> None:
    texts = {page: (DOCS / page).read_text(encoding="utf-8") for _, page in MENU if page != INSTALL}
    headings = {page: text.splitlines()[0] for page, text in (texts | {INSTALL: install_page()}).items()}
    other = {title: headings[page] for title, page in MENU if headings[page] != f"# {title}"}
    assert other == {"Start": "# xception"}


def linked(place: str, text: str) -> str:
    return on_page_markdown(text, SimpleNamespace(file=SimpleNamespace(src_uri=place)))


def test_links_out_of_the_folder_stay_in_the_site() -> None:
    page = "explanation/speed.md"
    assert linked(page, "[a](../../benchmarks/results/peers.md)") == "[a](../benchmarks/results/peers.md)"
    assert linked(page, "[a](../reference/benchmark.md)") == "[a](../reference/benchmark.md)"
    assert linked("CONTRIBUTING.md", "[a](docs/reference/bundle.md)") == "[a](reference/bundle.md)"


def test_the_readme_says_how_to_install_on_the_site_too() -> None:
    assert install_page().startswith("# Install\n\nA fresh clone needs")
    assert "| Windows without make |" in install_page()
    assert "## " not in install_page()
    assert linked("index.md", "[a](../README.md#install)") == "[a](install.md)"
    assert linked("tutorials/label.md", "[a](../../README.md#install)") == "[a](../install.md)"
