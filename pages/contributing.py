"""CONTRIBUTING's map of the layers, which is the import contract with a word on each room."""

import tomllib
from ast import get_docstring, parse
from collections.abc import Mapping
from pathlib import Path

from pages.markdown import ROOT, markdown_table, with_tables

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SOURCE = ROOT / "src" / "xception"


def generated() -> Mapping[Path, str]:
    """CONTRIBUTING with today's map."""
    return {CONTRIBUTING: updated(CONTRIBUTING.read_text(encoding="utf-8"))}


def updated(text: str) -> str:
    rows = [(f"{floor}", f"`{room}`", purpose(room)) for floor, rooms in floors() for room in rooms]
    return with_tables(text, {"layers": markdown_table(("floor", "room", "what lives there"), rows)})


def floors() -> list[tuple[int, list[str]]]:
    """The rooms of each floor of the import contract, the top floor first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rooms = [[room.strip() for room in layer.split("|")] for layer in layers]
    return list(zip(range(len(rooms), 0, -1), rooms, strict=True))


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    folder, module = SOURCE / room / "__init__.py", SOURCE / f"{room}.py"
    text = (folder if folder.exists() else module).read_text(encoding="utf-8")
    return " ".join((get_docstring(parse(text)) or "").split("\n\n")[0].split())
