"""Exports to any target, in a line."""

from pathlib import Path
from typing import Any

from xception.bundle import Bundle
from xception.export.request import ExportRequest
from xception.export.targets import write_export


def export_to(bundle: Bundle, to: str, out: Path, **parts: Any) -> Path:
    return write_export(ExportRequest(bundle=bundle, to=to, out=out, **parts))
