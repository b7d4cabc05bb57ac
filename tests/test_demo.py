import sys
from pathlib import Path

import pytest

from xception import demo
from xception.errors import InputError, MissingExtra


def test_a_folder_that_holds_something_else_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="exists and is not a demonstration"):
            demo.run_demo(tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "x"


def test_a_missing_package_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match="matplotlib"):
        demo.run_demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_steps_are_announced_and_timed() -> None:
    notes: list[str] = []
    steps = demo.Steps(notes.append)
    with steps.timed("train"):
        assert notes == [f"step 1 of {demo.DEMO_STEPS}: train"]
    assert list(steps.seconds) == ["train"]
