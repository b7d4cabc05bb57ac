from pathlib import Path

import pytest

from tests.support.samples import CLASSES, write_folder
from xception.data.hold_out import HoldOut
from xception.errors import InputError, UsageError
from xception.train.settings import DataSettings
from xception.train.training_data import open_training_data


def test_undivided_data_are_held_out_as_the_settings_say(tmp_path: Path) -> None:
    root = str(write_folder(tmp_path / "d", 20, CLASSES[:2]))
    parts = [
        open_training_data(DataSettings(source=root, hold_out=HoldOut(fold=f"{place}/4"))) for place in (1, 2, 3, 4)
    ]
    assert [len(held_out) for _, held_out in parts] == [10] * 4
    assert len({item.key for _, held_out in parts for item in held_out}) == 40
    training, held_out = open_training_data(DataSettings(source=root))
    assert (len(training), len(held_out)) == (32, 8)


def test_data_with_parts_of_their_own_cannot_be_divided_otherwise(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_folder(tmp_path / part, 2)
    folds = HoldOut(fold="1/2")
    with pytest.raises(UsageError, match=r"data\.hold_out does nothing where .* has parts of its own"):
        open_training_data(DataSettings(source=str(tmp_path), hold_out=folds))
    with pytest.raises(UsageError, match="does nothing where the validation data are given"):
        open_training_data(
            DataSettings(source=str(tmp_path / "train"), validation=str(tmp_path / "val"), hold_out=folds)
        )


def test_a_named_part_is_not_validated_on_itself(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 20, CLASSES[:2])
    training, held_out = open_training_data(DataSettings(source=f"{root}:train"))
    assert not {item.key for item in training} & {item.key for item in held_out}
    with pytest.raises(InputError, match=r"is one part of .*; expected .* itself, or data\.validation"):
        open_training_data(DataSettings(source=f"{root}:test"))
