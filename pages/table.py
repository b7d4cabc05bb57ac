"""All pages that are made from the code, in one table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from pages import (
    command_line,
    contributing,
    conversion,
    export_matrix,
    glossary_links,
    int8_matrix,
    python_api,
    readme,
    recipes,
    variants,
)

PAGES: Mapping[str, Callable[[], Mapping[Path, str]]] = MappingProxyType(
    {
        "readme": readme.generated,
        "contributing": contributing.generated,
        "conversion": conversion.generated,
        "variants": variants.generated,
        "recipes": recipes.generated,
        "export_matrix": export_matrix.generated,
        "int8_matrix": int8_matrix.generated,
        "command_line": command_line.generated,
        "python_api": python_api.generated,
        "glossary_links": glossary_links.generated,
    }
)
"""By name, a function that gives the content that each of the page's files should have."""


def outdated(page: str) -> list[Path]:
    """The files of a page that are not what the code gives, those that are missing included."""
    return [path for path, content in PAGES[page]().items() if not path.exists() or _read(path) != content]


def write_pages() -> list[Path]:
    """Write the files that are outdated, and return them."""
    written = [path for page in PAGES for path in outdated(page)]
    for generated in PAGES.values():
        for path, content in generated().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return written


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
