from pathlib import Path

import pytest

from tests.support.samples import CLASSES, write_folder
from xception.errors import InputError
from xception.train.first_run import first_run, is_data
from xception.train.recipe import load_recipe


def test_photos_are_told_from_recipes(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos", 1)
    assert [is_data(name) for name in (str(photos), "digits", "finetune", "my.toml", "finetun")] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("per_class", "start", "recipe", "changes"),
    [
        (10, None, "photos", ("batch_size=16", "epochs=60")),
        (10, "models/a", "finetune", ("batch_size=16", "epochs=60")),
        (300, None, "photos", ("batch_size=32", "epochs=25")),
    ],
)
def test_the_number_of_images_decides_epochs_and_batch(
    per_class: int, start: str | None, recipe: str, changes: tuple[str, ...], tmp_path: Path
) -> None:
    chosen = first_run(str(write_folder(tmp_path / "d", per_class)), start)
    assert (chosen.recipe, chosen.changes) == (recipe, changes)
    assert load_recipe("photos", chosen.changes).epochs == int(changes[1].removeprefix("epochs="))
    few = [reason for reason in chosen.reasons if "few for random weights; pass --from" in reason]
    assert len(few) == (per_class == 10 and start is None)


def test_the_reasons_have_the_numbers(tmp_path: Path) -> None:
    network, length, *_ = first_run(str(write_folder(tmp_path / "d", 10, CLASSES[:2]))).reasons
    assert network == "recipe photos: mini-XCEPTION learns from random weights at 64 px"
    assert length.startswith("60 epochs of 1 steps with 16 images: about 1500 steps for 16 training images")


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class folders"):
        first_run(str(tmp_path))
