import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.samples import CLASSES, encoded, picture, write_folder
from tests.tasks.test_vendor_results import folder_of_pictures
from xception.bundle import Bundle
from xception.data.folder import image_files
from xception.data.sources import open_source
from xception.errors import InputError
from xception.labels import Labels
from xception.preprocess import Preprocess, ShorterSide
from xception.tasks.vendor_inputs import write_inputs

PREPROCESS = Preprocess(color="rgb", resize=ShorterSide(px=20, long_side="truncate"), mean=(0.5,) * 3, std=(0.5,) * 3)


def test_ascends_inputs_are_the_networks_with_a_line_for_each(onnx_bundle: Bundle, tmp_path: Path) -> None:
    source = open_source(folder_of_pictures(tmp_path / "data"))
    preprocess, out = onnx_bundle.model.preprocess, tmp_path / "out"
    written = write_inputs("ascend", out, source, preprocess, onnx_bundle.labels)
    assert (written.seen, [failure.key for failure in written.failures]) == (14, ["bee/broken.png"])
    assert preprocess.output_px
    height, width = preprocess.output_px
    lines = [line.split() for line in (out / "inputs.info").read_text().splitlines()]
    assert [(int(line[0]), *map(int, line[2:])) for line in lines] == [(n, width, height) for n in range(14)]
    seen = [item for item in source if item.key != "bee/broken.png"]
    for item, line in zip(seen, lines, strict=True):
        assert Path(line[1]) == Path("inputs") / f"{Path(item.key).stem}.bin"
        values = np.fromfile(out / line[1], "<f4").reshape(3, height, width)
        assert np.array_equal(values, preprocess(Image.open(tmp_path / "data" / item.key).convert("RGB")))
    labels = dict(line.split() for line in (out / "val_label.txt").read_text().splitlines())
    assert labels == {Path(item.key).name: str(item.target) for item in source}
    assert json.loads((out / "failures.jsonl").read_text())["reason"] == "not an image file of a known format"


@pytest.mark.parametrize("orientation", ["upright", "stored"])
def test_vastais_inputs_are_decoded_images_of_their_own_size(orientation: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    folder = write_folder(tmp_path / "data", 1)
    (folder / "ant" / "turned.jpg").write_bytes(encoded(picture(40, 30), "JPEG", exif=exif))
    (folder / "ant" / "gray.png").write_bytes(encoded(picture(mode="L")))
    preprocess = Preprocess(
        color="rgb", resize=PREPROCESS.resize, mean=PREPROCESS.mean, std=PREPROCESS.std, orientation=orientation
    )
    source = open_source(folder)
    written = write_inputs("vastai", tmp_path / "out", source, preprocess, Labels(CLASSES))
    paths = [Path(line) for line in (tmp_path / "out" / "datalist.txt").read_text().splitlines()]
    assert written.seen == len(paths) == len(source)
    assert paths == [tmp_path / "out" / Path(item.key).with_suffix(".npz") for item in source]
    arrays = {path.stem: np.load(path)["input_0"] for path in paths}
    assert arrays["turned"].shape == ((3, 40, 30) if orientation == "upright" else (3, 30, 40))
    assert arrays["gray"].shape == (3, 30, 40)
    original = np.asarray(picture(seed=0))
    assert np.array_equal(np.load(tmp_path / "out" / "ant" / "0.npz")["input_0"], original.transpose(2, 0, 1))
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.uint8)}


def test_images_of_one_name_are_refused_before_anything_is_written(onnx_bundle: Bundle, tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "data", 1))
    with pytest.raises(InputError, match=r"ant/0\.png and bee/0\.png would both be called '0'"):
        write_inputs("ascend", tmp_path / "out", source, PREPROCESS, onnx_bundle.labels)
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="choose another place"):
        write_inputs("vastai", tmp_path / "taken", source, PREPROCESS, onnx_bundle.labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "taken"]


def test_unlabelled_images_have_no_label_file_and_their_own_folder(onnx_bundle: Bundle, tmp_path: Path) -> None:
    source = image_files([write_folder(tmp_path / "data", 1, ("ant",))])
    write_inputs("ascend", tmp_path / "ascend", source, PREPROCESS, onnx_bundle.labels)
    assert not (tmp_path / "ascend" / "val_label.txt").exists()
    write_inputs("vastai", tmp_path / "vastai", source, PREPROCESS, onnx_bundle.labels)
    assert (tmp_path / "vastai" / "ant" / "0.npz").is_file()
