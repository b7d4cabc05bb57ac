"""The site of the manual: every page is in its menu, and links that leave the manual's folder lead somewhere."""

from types import SimpleNamespace

import yaml

from pages.markdown import ROOT
from pages.site import on_page_markdown

DOCS = ROOT / "docs"


def entries(menu: object) -> list[str]:
    if isinstance(menu, dict):
        return [page for part in menu.values() for page in entries(part)]
    return [page for part in menu for page in entries(part)] if isinstance(menu, list) else [str(menu)]


def test_every_page_is_in_the_menu_once() -> None:
    menu = entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(menu) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def linked(place: str, text: str) -> str:
    return on_page_markdown(text, SimpleNamespace(file=SimpleNamespace(src_uri=place)))


def test_links_out_of_the_folder_stay_in_the_site() -> None:
    page = "explanation/speed.md"
    assert linked(page, "[a](../../benchmarks/results/peers.md)") == "[a](../benchmarks/results/peers.md)"
    assert linked(page, "[a](../reference/benchmark.md)") == "[a](../reference/benchmark.md)"
    assert linked("CONTRIBUTING.md", "[a](docs/reference/bundle.md)") == "[a](reference/bundle.md)"
