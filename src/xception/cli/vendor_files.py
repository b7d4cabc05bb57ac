"""`xception info` on a vendor's files: what each says of preprocessing, and where they contradict each other."""

from pathlib import Path

import msgspec

from xception.bundle import MANIFEST
from xception.interchange.contradictions import STATEMENT_READERS, Statement, contradictions, statements

OTHERS = (MANIFEST, f"bundle/{MANIFEST}", "config.json")
"""Files that make a folder a bundle, a training run or a model folder."""


def describe_vendor_files(path: Path) -> tuple[dict[str, object], dict[str, str]] | None:
    """The document, and what of it is for the screen; None for anything else.

    Raises:
        InputError: a vendor's file does not say all that it should.
    """
    is_candidate = path.suffix.lower() in STATEMENT_READERS if path.is_file() else _is_other_folder(path)
    said = statements(path) if is_candidate else []
    if not said:
        return None
    found = contradictions(said)
    document = {
        "kind": "vendor files",
        "path": str(path),
        "statements": msgspec.to_builtins(said),
        "contradictions": msgspec.to_builtins(found),
    }
    facts = {row.file: _sentence(row) for row in said}
    return document, facts | {f"contradiction {n}": row.sentence() for n, row in enumerate(found, 1)}


def _is_other_folder(path: Path) -> bool:
    return path.is_dir() and not any((path / name).is_file() for name in OTHERS)


def _sentence(row: Statement) -> str:
    crop = f"crop of {row.crop}" if row.crop else None
    return "; ".join(part for part in (row.resize, crop, row.normalization, row.note) if part)
