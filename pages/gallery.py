"""Pictures of the pages that commands write, taken by Chromium: `make gallery` renews docs/gallery.md and its pictures.

    python -m pages.gallery --browser chromium

The pages are made on handwritten digits by the commands that the gallery shows, some minutes of work on two cores.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image

from pages.markdown import ROOT

PAGE = ROOT / "docs/gallery.md"
PICTURES = ROOT / "docs/pictures"
COLOURS = 96
"""Colours of a picture: pages have few, and the files stay small."""

LIGHT, DARK = 1, 0
"""Chromium's numbers of the colour schemes that a page may ask for."""

VIEWS = {
    "light": ("1280,1500", LIGHT),
    "dark": ("1280,1500", DARK),
    "phone": ("390,844", LIGHT),
}
"""Sizes of the window in pixels, and colour schemes."""


class Shown(NamedTuple):
    """A page of the gallery: how a reader gets it, and what it is for."""

    name: str
    command: str
    page: str
    words: str


SHOWN = (
    Shown("demo", "xception demo", "demo/report.html", "Everything about one small network, from training to int8."),
    Shown(
        "training",
        "xception train digits --set epochs=6 --out runs/digits",
        "runs/digits/report.html",
        "Curves, a batch as the network saw it, figures per class, and mistakes.",
    ),
    Shown(
        "evaluation",
        "xception evaluate demo/bundles/onnx digits:test --html evaluation.html",
        "evaluation.html",
        "Accuracy with its interval, calibration, confusion, and the most confident mistakes.",
    ),
    Shown(
        "comparison",
        "xception compare demo/bundles/onnx demo/bundles/onnx-int8 digits:test --html comparison.html",
        "comparison.html",
        "Two models on the same images, with a test and a verdict.",
    ),
    Shown(
        "int8",
        "xception quantize demo/bundles/onnx --calibration digits --out digits-int8 --sensitivity --html int8.html",
        "int8.html",
        "What int8 costs, layer by layer.",
    ),
    Shown(
        "benchmark",
        "xception benchmark demo/bundles/onnx digits:test --batch 1,8 --html benchmark.html",
        "benchmark.html",
        "The speed of each stage and of the whole, and the most that the machine allows.",
    ),
    Shown(
        "data",
        "xception data check digits:train --not-in digits:test --html data.html",
        "data.html",
        "Broken files, copies, leaks and doubtful labels.",
    ),
)


def main() -> None:
    """Make the pages, take the pictures, and write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default="chromium", help="Chromium, Chrome or Edge")
    browser = shutil.which(parser.parse_args().browser)
    if browser is None:
        sys.exit("no browser; expected Chromium on the path, or --browser with its name")
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        for shown in SHOWN:
            _make(shown, Path(folder))
            for view in VIEWS:
                _take(browser, Path(folder, shown.page), view, PICTURES / f"{shown.name}-{view}.png")
    PAGE.write_text(gallery(), encoding="utf-8")


def gallery() -> str:
    """The page with all pictures."""
    head = (
        "# Gallery\n\nEvery page is one file without any outside reference, light or dark as the reader's screen is.\n"
    )
    return head + "".join(f"\n{text}" for shown in SHOWN for text in _entry(shown))


def _entry(shown: Shown) -> Iterator[str]:
    yield f"## {shown.words.rstrip('.')}\n"
    yield f"```text\n{shown.command}\n```\n"
    yield "".join(f"![{shown.words} ({view})](pictures/{shown.name}-{view}.png)\n" for view in VIEWS)


def _make(shown: Shown, folder: Path) -> None:
    command = [sys.executable, "-m", "xception", *shlex.split(shown.command)[1:]]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1):
        sys.exit(f"{shown.command} ended with {ended.returncode}: {ended.stderr}")


def _take(browser: str, page: Path, view: str, picture: Path) -> None:
    """Take a picture of the page's top."""
    size, scheme = VIEWS[view]
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=2000")
    where = (f"--window-size={size}", f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
    subprocess.run([browser, *options, *where, page.as_uri()], capture_output=True, check=True)
    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


if __name__ == "__main__":
    main()
