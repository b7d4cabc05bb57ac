"""A short siege; `kill_writing.py` itself lasts as long as one likes. The kill at every step is in test_outputs.py."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks import kill_writing
from tests.attacks.kill_writing import Writer, besiege_bundles, besiege_sorting, drawn_bundle
from xception.bundle import Bundle, write_bundle


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    return writer_of(drawn_bundle(tmp_path / "source", 1))


def writer_of(bundle: Bundle) -> Writer:
    files = {bundle.main_file.name: bundle.main_file}
    return lambda out: write_bundle(out, bundle.model, bundle.labels, files, overwrite=True)


@pytest.mark.slow
def test_killed_writers_leave_the_old_or_the_new(write: Writer, tmp_path: Path) -> None:
    assert besiege_bundles("writer", write, tmp_path, 8, random.Random(1)).total() == 8
    assert besiege_sorting(tmp_path, 8, random.Random(1)).total() == 8


def test_a_place_that_a_kill_broke_would_be_noticed(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(job: Callable[[], object], *_: object) -> str:
        writer_of(drawn_bundle(tmp_path / "third", 5))(tmp_path / "writer" / "out")
        return "killed"

    monkeypatch.setattr(kill_writing, "kill", breaking)
    with pytest.raises(SystemExit, match="holds neither the old nor the new"):
        besiege_bundles("writer", write, tmp_path, 1, random.Random(0))
