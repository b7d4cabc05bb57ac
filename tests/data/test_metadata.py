from pathlib import Path

import pytest

from tests.support.samples import write_folder
from xception.data.hold_out import HoldOut
from xception.data.sources import open_halves
from xception.errors import InputError

GROUPED = HoldOut(share=0.3, group_column="patient")

IMAGES = [(f"{name}/{index}.png", f"p{index // 2}") for name in ("healthy", "sick") for index in range(10)]
"""Each image's path with its patient."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = write_folder(tmp_path / "scans", 10, ("healthy", "sick"))
    (root / "metadata.csv").write_text("\n".join(["file_name,patient", *map(",".join, IMAGES)]))
    return root


def test_the_column_next_to_class_folders_names_the_groups(folder: Path) -> None:
    training, validation = open_halves(str(folder), None, GROUPED)
    own, theirs = ({int(Path(item.key).stem) // 2 for item in part} for part in (training, validation))
    assert not own & theirs
    assert own | theirs == set(range(5))
    assert {item.target for item in validation} == {0, 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("patient", "person", "has the columns file_name, person; expected 'patient' among them"),
        ("file_name,", "", "has no column of the images' paths; expected one called file_name"),
        ("healthy/3.png,p1", "", "gives no 'patient' for 1 of 20 images, such as healthy/3.png"),
    ],
)
def test_a_file_that_does_not_name_every_group_is_refused(old: str, new: str, message: str, folder: Path) -> None:
    text = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        open_halves(str(folder), None, GROUPED)


LISTS = {
    "list.csv": "path,label,Patient\n" + "".join(f"{key},{key[0]},{who}\n" for key, who in IMAGES),
    "list.tsv": "path\tlabel\tpatient\n" + "".join(f"{key}\t{key[0]}\t{who}\n" for key, who in IMAGES),
    "list.jsonl": "".join(f'{{"path": "{key}", "label": "{key[0]}", "patient": "{who}"}}\n' for key, who in IMAGES),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_column_of_a_list_names_the_groups(name: str, folder: Path) -> None:
    (folder / name).write_text(LISTS[name])
    training, validation = open_halves(str(folder / name), None, GROUPED)
    own, theirs = ({int(Path(item.key).stem) // 2 for item in part} for part in (training, validation))
    assert not own & theirs
    assert own | theirs == set(range(5))
    assert (training.classes, {item.target for item in validation}) == (("h", "s"), {0, 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("healthy/1.png h\nsick/1.png s\n", "list.csv has no header that names a column 'patient'"),
        ("path,label\nhealthy/1.png,h\nsick/1.png,s\n", "has the columns path, label; expected 'patient' among them"),
        (
            "path,label,patient\nhealthy/1.png,h,1\nsick/1.png,s,\n",
            "no 'patient' for 1 of 2 images, such as sick/1.png",
        ),
    ],
)
def test_a_list_that_does_not_name_every_group_is_refused(text: str, message: str, folder: Path) -> None:
    (folder / "list.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        open_halves(str(folder / "list.csv"), None, GROUPED)


def test_a_folder_without_the_file_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no metadata\.csv in .*; expected one with a row per image"):
        open_halves(str(write_folder(tmp_path / "d", 4)), None, GROUPED)
