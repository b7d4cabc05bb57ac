"""The tables of the page on exports. `python -m tests.rules.export_matrix_page` makes them of what was measured."""

from pathlib import Path
from typing import Any

import msgspec

from tests.rules.variants_page import markdown
from xception.arch.variants import VARIANTS

PAGE = Path(__file__).parents[2] / "docs/reference/export-matrix.md"
DATA = PAGE.with_suffix(".json")
COLUMNS = {
    "onnx": "ONNX, opset 17",
    "onnx-11": "ONNX, opset 11",
    "onnx-float16": "ONNX, float16",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
    "pt2": "torch.export",
    "torchscript": "TorchScript",
    "mindir": "MindIR",
}
NARROW = "\\*"


def measured() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = msgspec.json.decode(DATA.read_bytes())
    return found


def tables(data: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Markdown by the name between the page's marks."""
    header = ["variant", *COLUMNS.values()]
    return {
        "agreement": markdown(
            header, [[f"`{name}`", *(_agreement(data[name][c]) for c in COLUMNS)] for name in VARIANTS]
        ),
        "sizes": markdown(header, [[f"`{name}`", *(_size(data[name][c]) for c in COLUMNS)] for name in VARIANTS]),
        "tools": markdown(["format", "versions"], [[title, _tools(data, c)] for c, title in COLUMNS.items()]),
        "reasons": "".join(f"- {sentence}\n" for sentence in _reasons(data)),
    }


def _agreement(cell: dict[str, Any]) -> str:
    if "reason" in cell:
        return "-"
    return f"{cell['relative_diff']:.1e}{NARROW if cell['width'] < 1 else ''}"


def _size(cell: dict[str, Any]) -> str:
    if "reason" in cell or cell["width"] < 1:
        return "-"
    return f"{cell['size_bytes'] / 1e6:.1f} MB"


def _tools(data: dict[str, dict[str, Any]], column: str) -> str:
    used = {f"{tool} {version}" for cells in data.values() for tool, version in cells[column].get("tools", {}).items()}
    return ", ".join(sorted(used))


def _reasons(data: dict[str, dict[str, Any]]) -> list[str]:
    """Why a cell is empty, with all cells that share the reason."""
    holes: dict[tuple[str, str], list[str]] = {}
    for name, cells in data.items():
        for column, title in COLUMNS.items():
            if "reason" in cells[column]:
                holes.setdefault((title, cells[column]["reason"]), []).append(f"`{name}`")
    return [f"{title}, {', '.join(names)}: {reason}" for (title, reason), names in holes.items()]


def updated(text: str) -> str:
    """The page with the tables of what was measured."""
    for name, table in tables(measured()).items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
