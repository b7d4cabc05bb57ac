"""The commands and programs in the README and in every other page."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {page.relative_to(ROOT).as_posix(): page for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))}
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)

OF_STORAGE = ("docs/how-to/object-storage.md", "docs/how-to/many-machines.md")
"""Pages whose commands need an object storage; tests/cli/test_storage_pages.py has one."""

LOCAL = tuple(name for name in PAGES if name not in OF_STORAGE)
"""All other pages."""


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks in a language."""
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(block: str) -> list[list[str]]:
    """The words of each command of a block, without comments."""
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def shell_commands(page: Path) -> list[list[str]]:
    """The words of each command of a page, without comments."""
    return [words for block in blocks(page, "sh") for words in commands(block)]


def xception_commands(page: Path) -> list[list[str]]:
    """The arguments of each `xception` command."""
    return [line[1:] for line in shell_commands(page) if line[0] == "xception"]


def for_a_cluster(block: str) -> bool:
    """Tell whether a block needs a Ray cluster, which no test of pages has."""
    return "ray" in re.split(r"\W+", block.lower())
