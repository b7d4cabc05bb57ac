from pathlib import Path

import msgspec
import pytest

from xception.bundle import Bundle
from xception.convert.catalog import CATALOG
from xception.errors import AmbiguousName, InputError, UnknownName, UsageError
from xception.interchange.vdsp import params_of, write_params
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash
from xception.tasks.preprocess_alternatives import ALTERNATIVES, alternative, alternatives

OWN = CATALOG["timm_xception.tf_in1k"].preprocess
PADDLE = CATALOG["ppcls_xception41.ppcls_in1k"].preprocess
FACE = CATALOG["mini_xception.fer2013"].preprocess


def test_every_name_changes_something_for_some_published_weights() -> None:
    reached = {name for own in (OWN, PADDLE, FACE) for name in alternatives(own)}
    assert reached == set(ALTERNATIVES)


@pytest.mark.parametrize("own", [OWN, PADDLE, FACE])
def test_no_alternative_is_the_models_own_and_all_keep_its_size_and_channels(own: Preprocess) -> None:
    for other in alternatives(own).values():
        assert other != own
        assert (other.output_px, other.channels) == (own.output_px, own.channels)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bilinear", {"interpolation": "bilinear"}),
        ("no_antialias", {"interpolation": "bilinear", "antialias": False}),
        ("squash", {"resize": Squash(width_px=333, height_px=333)}),
        ("squash_whole", {"resize": Squash(width_px=299, height_px=299), "crop": None}),
        ("crop_squash", {"resize": CropSquash(width_px=299, height_px=299), "crop": None}),
        ("long_side", {"resize": ShorterSide(px=333, long_side="round")}),
        ("crop_offset", {"crop": CenterCrop(width_px=299, height_px=299, offset="floor")}),
        ("bgr", {"color": "bgr"}),
        ("imagenet_norm", {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}),
        ("crop_pct=0.94", {"resize": ShorterSide(px=318)}),
        ("crop_pct=1", {"resize": ShorterSide(px=299)}),
    ],
)
def test_a_name_changes_what_it_says_and_nothing_else(name: str, changes: dict[str, object]) -> None:
    assert alternative(name, OWN) == msgspec.structs.replace(OWN, **changes)


def test_what_vastais_chips_can_do_is_an_alternative() -> None:
    other = alternative("vastai", OWN)
    assert (other.resize, other.antialias) == (Squash(width_px=333, height_px=333), False)
    with pytest.raises(UsageError, match="vastai is what the model's own preprocessing does"):
        alternative("vastai", FACE)


def test_gray_models_take_the_statistics_of_one_channel() -> None:
    assert alternative("imagenet_norm", FACE).mean == (0.485,)
    assert {"bgr", "caffe", "vastai"} & set(alternatives(FACE)) == set()


def test_published_weights_bundles_and_files_give_theirs(onnx_bundle: Bundle, tmp_path: Path) -> None:
    assert alternative("ppcls_xception41", OWN) == PADDLE
    assert alternative("mini_xception.fer2013", OWN).channels == 3
    assert alternative(str(onnx_bundle.path), OWN) == onnx_bundle.model.preprocess
    (tmp_path / "own.json").write_bytes(msgspec.json.encode(PADDLE))
    assert alternative(str(tmp_path / "own.json"), OWN) == PADDLE
    write_params(tmp_path / "vdsp.json", params_of(OWN))
    read, made = alternative(str(tmp_path / "vdsp.json"), OWN), alternative("vastai", OWN)
    assert (read.resize, read.mean, read.std) == (made.resize, made.mean, made.std)
    assert read.crop
    assert made.crop
    assert read.crop.box(333, 333) == made.crop.box(333, 333)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("bilnear", UnknownName, "unknown preprocessing 'bilnear'; did you mean bilinear"),
        ("timm_xception65", AmbiguousName, "ambiguous"),
        ("bicubic", UsageError, "bicubic is what the model's own preprocessing does"),
        ("shorter_side", UsageError, "shorter_side is what the model's own"),
        ("crop_pct=0", UsageError, "crop_pct=0 is not valid"),
        ("crop_pct=much", UsageError, "crop_pct=much is not valid"),
    ],
)
def test_what_is_no_other_preprocessing_is_refused(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        alternative(text, OWN)


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"rezise": 1}', b'{"std": [0, 0, 0]}', b'{"OpType": "x"}', b"\xff"])
def test_a_file_without_a_preprocessing_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(InputError, match=r"file\.json"):
        alternative(str(tmp_path / "file.json"), OWN)


def test_images_of_other_channels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gray.json").write_bytes(msgspec.json.encode(FACE))
    with pytest.raises(UsageError, match="makes images of 1 channels, and the model takes 3"):
        alternative(str(tmp_path / "gray.json"), OWN)
