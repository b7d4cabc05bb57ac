from pathlib import Path

import msgspec

from tests.support.samples import CLASSES, write_folder
from tests.train.samples import small_recipe
from xception.train.assembly import assemble, remarks
from xception.train.recipe import Recipe
from xception.train.settings import DataSettings, ModelSettings
from xception.train.training_data import open_training_data


def with_data(data: DataSettings) -> Recipe:
    return msgspec.structs.replace(small_recipe(), data=data)


def test_damaged_images_end_a_run_or_are_left_out_by_choice(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 10, CLASSES[:2])
    trained_on = next(iter(open_training_data(DataSettings(source=str(root)))[0]))
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


def test_few_held_out_images_are_remarked_with_what_can_be_done_about_them(tmp_path: Path) -> None:
    undivided = with_data(DataSettings(source=str(write_folder(tmp_path / "d", 20, CLASSES[:2]))))
    assert "hold out more (--set data.hold_out.share=0.2)" in "\n".join(remarks(undivided, assemble(undivided)))
    for part in ("train", "val"):
        write_folder(tmp_path / "parts" / part, 4, CLASSES[:2])
    for data in (
        DataSettings(source=str(tmp_path / "parts")),
        DataSettings(source=str(tmp_path / "d"), validation=str(tmp_path / "parts" / "val")),
    ):
        parts = with_data(data)
        said = "\n".join(remarks(parts, assemble(parts)))
        assert "by 25 points; add images to the validation part" in said
        assert "hold_out" not in said
