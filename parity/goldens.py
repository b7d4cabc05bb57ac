"""The logits of the sources' own code that are kept for the tests."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "tests" / "goldens"
CLASSES = 100
DIGITS = 7


def write(name: str, facts: Mapping[str, object], logits: Mapping[int, np.ndarray]) -> None:
    """Keep the first classes' logits of every image at every size, rounded far below float32's noise in so deep a
    network."""
    rows = {str(px): [[float(f"{x:.{DIGITS}g}") for x in row[:CLASSES]] for row in rows] for px, rows in logits.items()}
    text = json.dumps({"variant": name.rpartition(".")[2], **facts, "logits": rows}, indent=2)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(_with_rows_on_one_line(text) + "\n")


def read(name: str) -> dict[int, np.ndarray]:
    """The kept logits, (N, first classes), by image size."""
    document = json.loads((FOLDER / f"{name}.json").read_text())
    return {int(px): np.array(rows) for px, rows in document["logits"].items()}


def _with_rows_on_one_line(text: str) -> str:
    return re.sub(r"\[[^\[\]]*\]", lambda row: " ".join(row[0].split()), text)
