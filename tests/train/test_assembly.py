from pathlib import Path

import msgspec
import pytest

from tests.support.samples import CLASSES, labelled, write_folder
from tests.train.samples import small_recipe
from xception.data.hold_out import HoldOut
from xception.errors import InputError, UsageError
from xception.train.assembly import assemble, empty_bundle, open_parts, remarks
from xception.train.recipe import Recipe
from xception.train.settings import DataSettings, ModelSettings


def test_an_empty_bundle_is_of_the_recipes_network_and_the_datas_classes() -> None:
    recipe = small_recipe()
    bundle = empty_bundle(recipe, labelled(3))
    assert bundle.labels.names == CLASSES
    assert (bundle.model.network.num_classes, bundle.model.network.in_channels) == (len(CLASSES), 1)
    assert bundle.model.lineage[0].settings["recipe"] == recipe.digest


def with_data(data: DataSettings) -> Recipe:
    return msgspec.structs.replace(small_recipe(), data=data)


def test_undivided_data_are_held_out_as_the_settings_say(tmp_path: Path) -> None:
    root = str(write_folder(tmp_path / "d", 20, CLASSES[:2]))
    parts = [open_parts(DataSettings(source=root, hold_out=HoldOut(fold=f"{place}/4"))) for place in (1, 2, 3, 4)]
    assert [len(held_out) for _, held_out in parts] == [10] * 4
    assert len({item.key for _, held_out in parts for item in held_out}) == 40
    training, held_out = open_parts(DataSettings(source=root))
    assert (len(training), len(held_out)) == (32, 8)


def test_data_with_parts_of_their_own_cannot_be_divided_otherwise(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_folder(tmp_path / part, 2)
    folds = HoldOut(fold="1/2")
    with pytest.raises(UsageError, match=r"data\.hold_out does nothing where .* has parts of its own"):
        open_parts(DataSettings(source=str(tmp_path), hold_out=folds))
    with pytest.raises(UsageError, match="does nothing where the validation data are given"):
        open_parts(DataSettings(source=str(tmp_path / "train"), validation=str(tmp_path / "val"), hold_out=folds))


def test_a_named_part_is_not_validated_on_itself(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 20, CLASSES[:2])
    training, held_out = open_parts(DataSettings(source=f"{root}:train"))
    assert not {item.key for item in training} & {item.key for item in held_out}
    with pytest.raises(InputError, match=r"is one part of .*; expected .* itself, or data\.validation"):
        open_parts(DataSettings(source=f"{root}:test"))


def test_damaged_images_end_a_run_or_are_left_out_by_choice(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 10, CLASSES[:2])
    trained_on = next(iter(open_parts(DataSettings(source=str(root)))[0]))
    (root / trained_on.key).write_bytes(b"broken")
    notes: list[str] = []
    data = DataSettings(source=str(root), skip_damaged=True)
    assert len(assemble(with_data(data), on_note=notes.append).batches.source) == 15
    assert notes[0].startswith("1 of 16 training images cannot be read and are left out: ")
    assert len(assemble(with_data(DataSettings(source=str(root)))).batches.source) == 16


def test_a_run_begins_with_what_a_person_should_know(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 20, CLASSES[:2])
    (root / "zebra").mkdir()
    recipe = msgspec.structs.replace(with_data(DataSettings(source=str(root))), publish="best")
    said = "\n".join(remarks(recipe, assemble(recipe)))
    assert "no training images of zebra" in said
    assert "running statistics" in said
    settled = msgspec.structs.replace(
        recipe, model=ModelSettings(variant="mini_xception", width=0.5, norm_momentum=0.5)
    )
    assert "running statistics" not in "\n".join(remarks(settled, assemble(settled)))
