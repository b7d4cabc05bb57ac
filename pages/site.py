"""A hook of MkDocs: pages that lie outside of docs/, and how to install, become part of the site."""

from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/results/*.md")
INSTALL = "install.md"
"""The page with the README's section on how to install."""


def on_files(files: Any, config: Any) -> Any:
    """Add the files from outside, at the same paths below the site's root."""
    file_class = import_module("mkdocs.structure.files").File
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        source = path.relative_to(ROOT).as_posix()
        if files.get_file_from_path(source) is None:
            files.append(file_class.generated(config, source, abs_src_path=str(path)))
    files.append(file_class.generated(config, INSTALL, content=install_page()))
    return files


def install_page() -> str:
    """The README's section on how to install, as a page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return "# Install\n" + readme.partition("\n## Install\n")[2].partition("\n## ")[0]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links that leave docs/ to where the site has these files."""
    depth = page.file.src_uri.count("/")
    markdown = markdown.replace("](" + "../" * (depth + 1) + "README.md#install)", "](" + "../" * depth + INSTALL + ")")
    if page.file.src_uri.startswith(("benchmarks/", "C", "S")):
        return markdown.replace("](docs/", "](").replace("](../../docs/", "](../../")
    return markdown.replace("](" + "../" * (depth + 1), "](" + "../" * depth)
