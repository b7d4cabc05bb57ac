import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.damage import damaged, main, outcomes
from tests.support.samples import encoded


def photographs(count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize((640, 480)) for _ in range(count)]
    noisy = [(np.asarray(image) + rng.normal(0, 8, (480, 640, 3))).clip(0, 255).astype(np.uint8) for image in coarse]
    return [encoded(Image.fromarray(image), "JPEG", quality=88) for image in noisy]


def test_every_file_has_one_outcome_and_sound_ones_are_found_sound() -> None:
    rows = {row.kind: row for row in outcomes(photographs(6))}
    assert len(rows) == 6
    assert all(row.files == row.refused + row.found + row.sound == 6 for row in rows.values())
    assert (rows["sound"].sound, rows["sound"].warned) == (6, 0)
    for kind in ("1 KiB missing", "cut in half, closed", "second half of another file"):
        assert rows[kind].sound == 0
    assert rows["one bit flipped"].sound > 0


def test_the_same_seed_damages_in_the_same_way() -> None:
    first, second = photographs(2)
    one, again = (list(damaged(first, second, random.Random(1))) for _ in range(2))
    assert one == again
    assert len({file for _, file in one} | {first}) == 6


def test_the_table_has_a_row_for_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, data in enumerate(photographs(2)):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    main([str(tmp_path), "--files", "2"])
    assert len(capsys.readouterr().out.splitlines()) == 8
