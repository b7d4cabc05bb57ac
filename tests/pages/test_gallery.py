"""The gallery shows every kind of page by a picture of each view, and all of them are small."""

import re
import subprocess
import sys

from pages.gallery import PAGE, VIEWS, gallery
from pages.markdown import ROOT
from pages.result_pages import RESULT_PAGES

MAX_BYTES = 1_500_000


def test_the_gallery_is_what_its_script_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == gallery(), "run make gallery"


def test_every_picture_is_there_and_none_is_left_over() -> None:
    shown = {PAGE.parent / place for place in re.findall(r"\((pictures/[^)]*)\)", gallery())}
    assert shown == set((PAGE.parent / "pictures").iterdir())
    assert len(shown) == len(VIEWS) * (len(RESULT_PAGES) + 1)
    assert sum(picture.stat().st_size for picture in shown) < MAX_BYTES


def test_the_script_runs_in_the_environment_of_the_browser_which_lacks_the_package() -> None:
    program = "import sys; sys.modules |= {'msgspec': None, 'numpy': None, 'xception': None}; import pages.gallery"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
