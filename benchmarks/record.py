"""Files of measured figures, and the facts that figures depend on."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xception.machine import fingerprint

FOLDER = Path(__file__).parent / "results"


def measured_on(*packages: str) -> dict[str, Any]:
    """Today's `date`, and the `environment` with the versions of `packages`."""
    return {"date": datetime.now(UTC).date().isoformat(), "environment": fingerprint(*packages)}


def conditions(document: Mapping[str, Any]) -> str:
    """The environment of a document in words."""
    return ", ".join(f"{name} {value}" for name, value in document["environment"].items())


def save(out: Path, document: Mapping[str, Any], table: str) -> None:
    """The figures as `out`.json and their table as `out`.md."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(table, encoding="utf-8")
