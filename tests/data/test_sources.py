import pickle
from pathlib import Path

import pytest
from PIL import Image

from tests.data.forms import CONTENT, FORMS
from tests.data.web import WebServer
from tests.support.samples import CLASSES, write_folder
from xception.data.files import LocalFiles
from xception.data.memory import in_memory
from xception.data.sources import DATA_FORMS, DATA_HELP, FOLDER_FORMS, folder_form, open_source
from xception.errors import InputError, UnknownName


def content(data: str) -> list[tuple[str, object]]:
    source = open_source(data)
    return [(source.classes[item.target or 0], item.load()) for item in source]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["folder", "s3", "web"])
def test_every_form_in_every_place_gives_the_same_items(
    place: str, form: str, root: Path, s3: str, web: WebServer
) -> None:
    where = {"folder": str(root), "s3": s3, "web": web.url}[place]
    found = content(f"{where}/{FORMS[form]}")
    assert len(found) == 12
    assert set(found) == CONTENT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["folder", "s3", "web"])
def test_data_of_every_form_and_place_can_be_sent_to_another_process(
    place: str, form: str, root: Path, s3: str, web: WebServer
) -> None:
    where = {"folder": str(root), "s3": s3, "web": web.url}[place]
    source = open_source(f"{where}/{FORMS[form]}", "train")
    sent = pickle.loads(pickle.dumps(source))
    assert [(item.key, item.load()) for item in sent] == [(item.key, item.load()) for item in source]


def test_data_without_files_can_be_sent_to_another_process() -> None:
    pictures = [Image.new("L", (4, 4), level) for level in (3, 7)]
    for source in (open_source("digits"), open_source("synthetic:4,8x8"), in_memory(pictures, [0, 1], ["a", "b"])):
        sent = pickle.loads(pickle.dumps(source))
        assert [_pixels(item.load()) for item in sent] == [_pixels(item.load()) for item in source]


def _pixels(loaded: bytes | Image.Image) -> bytes:
    return loaded if isinstance(loaded, bytes) else loaded.tobytes()


@pytest.mark.parametrize(
    ("data", "split", "name"),
    [
        ("digits", None, "digits:test"),
        ("digits", "train", "digits:train"),
        ("digits:validation", None, "digits:validation"),
        ("digits:validation", "train", "digits:validation"),
    ],
)
def test_digits_are_known_by_name_and_split(data: str, split: str | None, name: str) -> None:
    assert open_source(data, split).name == name


def test_a_folder_is_opened_whole_or_in_part(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 20)
    whole, train, validation = (open_source(f"{root}{suffix}") for suffix in ("", ":train", ":validation"))
    assert whole.classes == CLASSES
    assert len(train) + len(validation) == len(whole)
    assert 0 < len(validation) < len(train)
    assert len(open_source(str(root), "validation")) == len(validation)


def test_the_suffix_overrides_the_argument(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 20)
    assert open_source(f"{root}:train", "validation").name == "d:train"


def test_a_colon_may_be_part_of_a_folders_name(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "a:b", 1)
    assert len(open_source(str(root))) == len(CLASSES)


def test_an_unknown_split_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown split 'tests'; did you mean test"):
        open_source("digits:tests")
    with pytest.raises(UnknownName, match="unknown split 'trian'"):
        open_source(f"{write_folder(tmp_path / 'd', 1)}:trian")


@pytest.mark.parametrize("data", ["no/such/folder", "", ":", "digit"])
def test_no_data_is_refused(data: str) -> None:
    with pytest.raises(InputError, match="no data at") as error:
        open_source(data)
    for form in (*DATA_FORMS, *FOLDER_FORMS):
        assert form.help in str(error.value)
        assert form.help in DATA_HELP


@pytest.mark.parametrize(
    ("entries", "form"),
    [
        (("cat/", "dog/"), "class folders"),
        (("a.png", ".hidden/"), "images with val_label.txt or ImageNet's ILSVRC2012_devkit_t12"),
        (("a.png", "cat/"), "class folders"),
        (("a.tar", "b.parquet"), "parquet files (also in data/)"),
        (("a.tar", "data/b.parquet"), "tar shards (also in data/)"),
        (("data/b.parquet", "README.md"), "parquet files (also in data/)"),
        (("data/b.tar",), "tar shards (also in data/)"),
    ],
)
def test_the_entries_of_a_folder_tell_its_form(tmp_path: Path, entries: tuple[str, ...], form: str) -> None:
    for entry in entries:
        path = tmp_path / entry
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if entry.endswith("/") else path.touch()
    assert folder_form(LocalFiles(tmp_path)).help == form
