"""Every page that people read, looked at by axe in a browser: no serious fault, light and dark, wide and narrow."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, Served
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(ROOT))
from pages.result_pages import write_result_pages

SITE = ROOT / "build/site"
"""The manual, as `make docs` builds it."""

READ = (
    "index.html",
    "gallery.html",
    "tutorials/label.html",
    "reference/command-line.html",
    "explanation/variants.html",
)
"""Pages of the site with all that it is made of: lists, tables, code, pictures, drawings."""

VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

FAULTS = '<p style="color: #ccc; background: #fff">pale</p><img src="data:,"><button></button>'
"""A text that is hard to see, and a picture and a button without a name."""


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    yield page
    page.close()


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """One page of every kind, made by the commands of the gallery."""
    return tuple(file for _, file in write_result_pages(tmp_path_factory.mktemp("results")))


def serious(page: Page) -> list[tuple[str, list[str]]]:
    """The rules that are broken in a way that keeps people from reading, and where."""
    found = Axe().run(page).response["violations"]
    return [
        (one["id"], [node["html"][:120] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def faults(page: Page, address: str) -> list[tuple[str, list[str]]]:
    page.goto(address)
    return serious(page)


def test_planted_faults_are_found(page: Page) -> None:
    page.set_content(f"<html lang=en><title>a</title><main><h1>a</h1>{FAULTS}</main></html>")
    assert {rule for rule, _ in serious(page)} == {"color-contrast", "image-alt", "button-name"}


def test_pages_of_results(page: Page, results: tuple[Path, ...]) -> None:
    assert {file.name: found for file in results if (found := faults(page, file.as_uri()))} == {}


def test_pages_of_the_manual(page: Page) -> None:
    assert {name: found for name in READ if (found := faults(page, (SITE / name).as_uri()))} == {}


def test_the_page_of_a_server(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.set_input_files("#files", served.photos[0])
    page.get_by_text("Done.").wait_for()
    assert serious(page) == []
