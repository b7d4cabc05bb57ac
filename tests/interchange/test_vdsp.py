import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.support.samples import picture
from xception.errors import InputError, UsageError
from xception.interchange import vdsp
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

CROP = CenterCrop(width_px=299, height_px=299, offset="floor")
SQUASHED = Preprocess(resize=Squash(width_px=324, height_px=324), interpolation="bilinear", antialias=False, crop=CROP)
IMAGENET = msgspec.structs.replace(SQUASHED, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = msgspec.structs.replace(SQUASHED, divisor=1.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))
KERAS = Preprocess(resize=ShorterSide(px=333), crop=CenterCrop(width_px=299, height_px=299))


def test_the_file_says_what_the_chip_is_to_do(tmp_path: Path) -> None:
    vdsp.write_params(tmp_path / "p.json", vdsp.params_of(IMAGENET))
    document = json.loads((tmp_path / "p.json").read_bytes())
    assert document == {
        "OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR",
        "OpConfig": {
            "IimageFormat": "RGB_PLANAR",
            "IimageWidth": 324,
            "IimageHeight": 324,
            "OimageWidth": 299,
            "OimageHeight": 299,
            "CropX": 12,
            "CropY": 12,
            "ResizeWidth": 324,
            "ResizeHeight": 324,
            "IimageWidthPitch": 324,
            "IimageHeightPitch": 324,
            "Mean": [0.485107421875, 0.4560546875, 0.406005859375],
            "Std": [0.22900390625, 0.2239990234375, 0.2249755859375],
            "NormaType": "DIV255_MINUSMEAN_DIVSTD",
            "ColorCvtCode": "NO_CHANGE",
            "ResizeType": "BILINEAR_CV",
        },
    }


@pytest.mark.parametrize("preprocess", [SQUASHED, IMAGENET, CAFFE, KERAS])
def test_a_file_that_is_written_is_read_as_the_nearest_that_the_chip_can_do(
    preprocess: Preprocess, tmp_path: Path
) -> None:
    vdsp.write_params(tmp_path / "p.json", vdsp.params_of(preprocess))
    found = vdsp.vdsp_preprocess(vdsp.read_params(tmp_path / "p.json"))
    image = picture(400, 300)
    assert np.array_equal(found(image), vdsp.expressible(preprocess)(image))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"color": "bgr"}, "the model takes bgr images of 299x299 px: prepare them before the chip"),
        ({"resize": None, "crop": None}, "the model takes rgb images of any size"),
        ({"resize": CropSquash(height_px=299, width_px=299), "crop": None}, "as the model's crop_squash does"),
    ],
)
def test_images_that_the_chip_cannot_make_are_named_with_a_way(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        vdsp.expressible(msgspec.structs.replace(SQUASHED, **changes))


def test_a_divisor_of_another_kind_goes_into_mean_and_deviation() -> None:
    odd = msgspec.structs.replace(SQUASHED, divisor=127.5, mean=(1.0,) * 3, std=(1.0,) * 3)
    config = vdsp.params_of(odd).op_config
    assert (config.norma_type, config.mean[0], config.std[0]) == ("MINUSMEAN_DIVSTD", 127.5, 127.5)
    assert vdsp.vdsp_departures(odd) == []


def test_each_departure_is_told() -> None:
    assert vdsp.vdsp_departures(SQUASHED) == []
    assert vdsp.vdsp_departures(IMAGENET) == ["mean and deviation are rounded to half precision"]
    assert len(vdsp.vdsp_departures(KERAS)) == 2
    unrounded = msgspec.structs.replace(SQUASHED, fractions=True)
    assert vdsp.vdsp_departures(unrounded) == ["what the resize computes is rounded to whole levels"]
    assert "cropped as it is" in vdsp.vdsp_departures(Preprocess(crop=CROP))[0]


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(color="bgr", resize=Squash(width_px=9, height_px=9)),
        Preprocess(color="gray", resize=Squash(width_px=9, height_px=9), mean=(0.5,), std=(0.5,)),
        Preprocess(resize=ShorterSide(px=9)),
        Preprocess(resize=ShorterSide(px=200), crop=CROP),
        Preprocess(resize=CropSquash(width_px=9, height_px=9)),
    ],
)
def test_what_the_chip_cannot_do_at_all_is_refused(preprocess: Preprocess) -> None:
    with pytest.raises(UsageError, match="VastAI"):
        vdsp.params_of(preprocess)


@pytest.mark.parametrize(
    "change", [{"CropX": 0}, {"ColorCvtCode": "RGB2BGR"}, {"ResizeType": "NEAREST"}, {"IimageFormat": "YUV_NV12"}]
)
def test_a_file_of_another_operation_is_not_taken_for_this_one(change: dict[str, object], tmp_path: Path) -> None:
    document = msgspec.to_builtins(vdsp.params_of(SQUASHED))
    document["OpConfig"] |= change
    (tmp_path / "p.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="vdsp_params"):
        vdsp.vdsp_preprocess(vdsp.read_params(tmp_path / "p.json"))


@pytest.mark.parametrize("text", ["", "{}", '{"OpType": "x", "OpConfig": {"Mean": [1]}}'])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match="no vdsp_params file"):
        vdsp.read_params(tmp_path / "p.json")
