"""Links to the glossary: on each page, the first use of a word of the glossary leads to its explanation."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pages.markdown import ROOT
from tests.rules.prose import prose

GLOSSARY = ROOT / "docs/reference/glossary.md"
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
UNTOUCHED = re.compile(r"(`[^`]*`|!?\[[^\]]*\]\([^)]*\))")
"""Code and links, in which no link can be made."""

EVERYDAY = frozenset(
    {
        "adopt", "auto", "benchmark", "bound", "calibration", "certificate", "difference", "digits", "fingerprint",
        "form", "lane", "pack", "prove", "session", "source",
    }
)  # fmt: skip
"""Words of the glossary that also have an ordinary meaning: authors link them where the special one is meant."""

WITHOUT_LINKS = frozenset({"command-line.md", "gallery.md", "glossary.md", "index.md", "parity.md", "python.md"})
"""Pages that are generated as a whole, the map, which leads to the glossary itself, and the glossary."""


def generated() -> Mapping[Path, str]:
    """Every page with its links."""
    return {page: with_links(page.read_text(encoding="utf-8"), _glossary_from(page)) for page in _pages()}


def words() -> list[str]:
    """The words that are linked."""
    found = HEADING.findall(GLOSSARY.read_text(encoding="utf-8"))
    return [word for word in found if word not in EVERYDAY]


def with_links(text: str, glossary: str) -> str:
    """A page on which the first use of each word is a link.

    Args:
        text: the page.
        glossary: the path from the page to the glossary.
    """
    lines = text.split("\n")
    for word in words():
        target = f"{glossary}#{word.lower()}"
        if f"]({target})" in text:
            continue
        for number in prose(text):
            linked = _linked(lines[number], word, target)
            if linked != lines[number]:
                lines[number] = linked
                break
    return "\n".join(lines)


def _linked(line: str, word: str, target: str) -> str:
    """A line with a link at the first use of a word; the same line if it does not use it."""
    parts = UNTOUCHED.split(line)
    for place in range(0, len(parts), 2):  # those between code and links
        linked = re.sub(rf"\b({word}s?)\b(?!-)", rf"[\1]({target})", parts[place], count=1, flags=re.IGNORECASE)
        if linked != parts[place]:
            return "".join([*parts[:place], linked, *parts[place + 1 :]])
    return line


def _glossary_from(page: Path) -> str:
    return Path(os.path.relpath(GLOSSARY, page.parent)).as_posix()


def _pages() -> Iterator[Path]:
    return (page for page in sorted(ROOT.glob("docs/**/*.md")) if page.name not in WITHOUT_LINKS)
