from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.adoption.graphs import PLAIN, STATED, logits, onnx_model, sample_images
from xception.adoption.adopt import adopt
from xception.backends.base import open_session
from xception.errors import InputError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file as torch's exporter writes it: the weights lie next to it."""
    folder = tmp_path / "in"
    folder.mkdir()
    onnx.save(
        onnx_model(), folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0
    )
    return folder / "model.onnx"


def relocated(file: Path, **stated: str) -> Path:
    model = onnx.load(file, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = stated.get(entry.key, entry.value)
    onnx.save(model, file)
    return file


def test_weights_next_to_the_file_are_taken_inside(file: Path, tmp_path: Path) -> None:
    adoption = adopt(file, STATED)
    bundle = adoption.write(tmp_path / "out")
    assert adoption.outline.notes == ("the weights next to it (model.onnx.data) were taken into the file",)
    assert {path.suffix for path in bundle.path.iterdir()} == {".json", ".md", ".onnx", ".safetensors", ".txt"}
    images = bundle.model.preprocess.normalize(sample_images())
    np.testing.assert_allclose(open_session(bundle)(images), logits(PLAIN, images), rtol=1e-5)


@pytest.mark.parametrize("location", ["../model.onnx.data", "/etc/hostname", "..", "sub/file", ""])
def test_a_place_outside_of_the_folder_is_never_read(file: Path, location: str) -> None:
    (file.parent.parent / "model.onnx.data").write_bytes((file.parent / "model.onnx.data").read_bytes())
    with pytest.raises(InputError, match="expected a file in the same folder"):
        adopt(relocated(file, location=location), STATED)


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    data = file.parent / "model.onnx.data"
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="it is a link"):
        adopt(file, STATED)


def test_missing_weights_are_named(file: Path) -> None:
    (file.parent / "model.onnx.data").unlink()
    with pytest.raises(InputError, match=r"model\.onnx\.data, which cannot be read .*; put that file next to it"):
        adopt(file, STATED)


@pytest.mark.parametrize("stated", [{"offset": "99999999"}, {"length": "-1"}, {"length": "9" * 15}])
def test_weights_that_are_too_short_are_refused(file: Path, stated: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is too short for"):
        adopt(relocated(file, **stated), STATED)


def test_a_place_in_words_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match="states no numbers for the place of"):
        adopt(relocated(file, length="many"), STATED)
