from pathlib import Path

import pytest

from benchmarks import small_sets
from benchmarks.small_sets import as_table, write_sets
from tests.support.samples import encoded, picture
from xception.data.hold_out import HoldOut
from xception.data.source import Item, Items
from xception.data.sources import open_halves

CLASSES = ("airplane", "bird", "frog", "horse", "ship")
PER_CLASS = 36


@pytest.fixture(scope="module")
def source() -> Items:
    items = [Item(str(index), index % 5, lambda: encoded(picture(seed=0))) for index in range(PER_CLASS * 5)]
    return Items("shards", CLASSES, tuple(items))


def images(folder: Path) -> dict[str, int]:
    return {each.name: len(list(each.iterdir())) for each in sorted(folder.iterdir())}


def test_sets_have_their_images_and_others_judge_them(
    source: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_sets, "SETS", {"skewed": {"airplane": 8, "frog": 2}})
    monkeypatch.setattr(small_sets, "FIRST_UNSEEN", 30)
    write_sets(source, tmp_path, ["skewed"])
    assert images(tmp_path / "skewed") == {"airplane": 8, "frog": 2}
    assert images(tmp_path / "skewed-unseen") == {"airplane": 6, "frog": 6}
    names = [{path.name for path in (tmp_path / part / "frog").iterdir()} for part in ("skewed", "skewed-unseen")]
    assert not names[0] & names[1]


def test_groups_stay_whole_by_the_option_of_the_set(
    source: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_sets, "SETS", {"grouped": {"bird": 30, "horse": 30}})
    write_sets(source, tmp_path, ["grouped"])
    pattern = small_sets.OPTIONS["grouped"][1].partition("=")[2].strip("'")
    halves = open_halves(str(tmp_path / "grouped"), None, HoldOut(group_pattern=pattern))
    groups = [{item.key.partition("_")[0] for item in half} for half in halves]
    assert groups[0]
    assert groups[1]
    assert not groups[0] & groups[1]


def test_a_row_has_the_command_and_the_recalls() -> None:
    row = {
        "command": "xception train skewed",
        "seconds": 61,
        "cpu_seconds": 90,
        "top1": {"value": 0.9, "low": 0.85, "high": 0.93},
        "recall": {"airplane": 0.95, "frog": 0.85},
    }
    assert as_table([row]).splitlines()[2] == (
        "| `xception train skewed` | 90.0% (85.0% to 93.0%) | airplane 95.0%, frog 85.0% | 61 s, 90 s of CPU |"
    )
