"""The files that the commands and programs of the pages need around them."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from tests.adoption.graphs import TF2ONNX, write_onnx
from tests.convert.checkpoints import hollow, write_keras
from tests.support.keys import write_keys
from xception.data.digits import digits
from xception.data.sources import open_source


def write_files_of_users(folder: Path) -> None:
    """`model.h5`, a checkpoint for `convert`; `exported.onnx`, a graph for `adopt`; `photo.jpg` and `photos`, images
    for `predict`; `flowers`, a folder of classes to train on; `scenes.csv`, a list of images with several classes each;
    `private.pem` and `public.pem`, to sign and verify."""
    write_keys(folder)
    write_keras(folder / "model.h5", hollow("keras", "mini_xception"))
    write_onnx(folder / "exported.onnx", replace(TF2ONNX, px="side"))
    (folder / "photos").mkdir()
    for item in list(digits("test"))[:3]:
        loaded = item.load()
        assert isinstance(loaded, Image.Image)
        loaded.save(folder / "photos" / f"{item.key}.png")
    loaded.save(folder / "photo.jpg")
    for index, item in enumerate(open_source("synthetic:24,32x32,2")):
        picture = folder / "flowers" / ("daisy", "tulip")[item.target] / f"{index}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        item.load().save(picture)
    rows = ["file_name,tags"]
    (folder / "scenes").mkdir()
    for index, item in enumerate(open_source("synthetic:40,32x32,2")):
        item.load().save(folder / "scenes" / f"{index}.png")
        rows.append(f"scenes/{index}.png,{('', 'beach', 'forest', 'beach forest')[index % 4]}")
    (folder / "scenes.csv").write_text("\n".join(rows))
