"""CONTRIBUTING's table of the layers: the import contract, with the purpose of each module."""

import tomllib
from ast import get_docstring, parse
from collections.abc import Mapping
from pathlib import Path

from pages.markdown import ROOT, markdown_table, with_tables

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SOURCE = ROOT / "src" / "xception"


def generated() -> Mapping[Path, str]:
    """CONTRIBUTING with today's table."""
    return {CONTRIBUTING: updated(CONTRIBUTING.read_text(encoding="utf-8"))}


def updated(text: str) -> str:
    rows = [(f"{number}", f"`{module}`", purpose(module)) for number, modules in layers() for module in modules]
    return with_tables(text, {"layers": markdown_table(("layer", "module", "content"), rows)})


def layers() -> list[tuple[int, list[str]]]:
    """The modules of each layer of the import contract, the top layer first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    modules = [[module.strip() for module in row.split("|")] for row in rows]
    return list(zip(range(len(modules), 0, -1), modules, strict=True))


def purpose(module: str) -> str:
    """The first paragraph of a module's docstring."""
    folder, file = SOURCE / module / "__init__.py", SOURCE / f"{module}.py"
    text = (folder if folder.exists() else file).read_text(encoding="utf-8")
    return " ".join((get_docstring(parse(text)) or "").split("\n\n")[0].split())
