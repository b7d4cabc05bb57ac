import json
from pathlib import Path

from benchmarks.record import measured_on, save


def test_figures_and_their_table_lie_side_by_side_with_what_they_depend_on(tmp_path: Path) -> None:
    document = {**measured_on("numpy"), "rows": [1.5]}
    save(tmp_path / "new" / "speed", document, "| a |\n")
    assert json.loads((tmp_path / "new" / "speed.json").read_text()) == document
    assert (tmp_path / "new" / "speed.md").read_text() == "| a |\n"
    assert {"cpu", "cores", "numpy"} <= document["environment"].keys()
    assert len(document["date"]) == len("2026-01-01")
