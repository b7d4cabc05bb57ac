"""Pictures of the pages of results, taken by Chromium: `make gallery` renews docs/gallery.md and its pictures.

The pages are made on handwritten digits by the commands that the gallery shows, some minutes of work on two cores.
It runs in the environment of the browser's driver; PACKAGE_PYTHON is the interpreter of the package's environment.
"""

import argparse
import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from PIL import Image

from pages.markdown import ROOT
from pages.result_pages import RESULT_PAGES, SERVE_COMMAND, ResultPage, served, write_digit, write_result_pages

PAGE = ROOT / "docs/gallery.md"
PICTURES = ROOT / "docs/pictures"
COLOURS = 64
"""Colours of a picture: pages have few, and the files stay small."""

SERVER = ResultPage("server", SERVE_COMMAND, "", "Server: a page for people with a photo and no program")


class View(NamedTuple):
    """A window: its size in pixels, and the colours that its reader prefers."""

    width: int
    height: int
    scheme: str

    @property
    def device(self) -> str:
        return "phone" if self.width < 640 else "desktop"

    @property
    def name(self) -> str:
        return f"{self.device}-{self.scheme}"


VIEWS = tuple(View(*size, scheme) for size in ((1200, 1000), (390, 844)) for scheme in ("light", "dark"))

HEAD = """# Gallery

Every page of results is a single file that needs no network, and follows the light or dark mode of the reader's system.
`make gallery` makes the pages with the commands shown here, and takes the pictures.
"""


def main() -> None:
    """Make the pages, take the pictures, and write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default="chromium", help="Chromium, Chrome or Edge")
    parser.add_argument("--folder", type=Path, help="folder that keeps the pages; those that it has are not made again")
    given = parser.parse_args()
    browser = shutil.which(given.browser)
    if browser is None:
        sys.exit("no browser; expected Chromium on the path, or --browser with its name")
    PICTURES.mkdir(exist_ok=True)
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    with nullcontext(given.folder) if given.folder else TemporaryDirectory() as folder:
        take_pictures(browser, Path(folder))
    PAGE.write_text(gallery(), encoding="utf-8")


def gallery() -> str:
    """The text of the gallery."""
    return HEAD + "".join(f"\n{text}" for shown in (*RESULT_PAGES, SERVER) for text in _entry(shown))


def _entry(shown: ResultPage) -> Iterator[str]:
    yield f"## {shown.purpose}\n"
    yield f"```text\n{shown.command}\n```\n"
    for view in VIEWS:
        alt = f"The {shown.name} page, {view.device}, {view.scheme}"
        yield f"![{alt}](pictures/{shown.name}-{view.name}.png)\n"


def take_pictures(browser: str, folder: Path) -> None:
    """Make all pages in a folder, and write the pictures of each."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for shown, file in write_result_pages(folder):
            for view in VIEWS:
                _write_picture(_opened(chromium, file.as_uri(), view), shown, view)
        digit = write_digit(folder / "digit.png")
        with served(folder) as address:
            for view in VIEWS:
                _write_picture(_answered(_opened(chromium, address, view), digit), SERVER, view)
        chromium.close()


def _opened(chromium: Any, address: str, view: View) -> Any:
    page = chromium.new_page(viewport={"width": view.width, "height": view.height}, color_scheme=view.scheme)
    page.goto(address)
    return page


def _answered(page: Any, photo: Path) -> Any:
    page.set_input_files("#files", photo)
    page.get_by_text("Done.").wait_for()
    return page


def _write_picture(page: Any, shown: ResultPage, view: View) -> None:
    """Write the picture of the page's top."""
    with Image.open(io.BytesIO(page.screenshot())) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(PICTURES / f"{shown.name}-{view.name}.png", optimize=True)
    page.close()


if __name__ == "__main__":
    main()
