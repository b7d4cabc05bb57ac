import json
from pathlib import Path

import pytest

from xception.adoption.words import preprocess_of
from xception.bundle import Bundle
from xception.convert.catalog import CATALOG
from xception.errors import InputError, UsageError
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

KERAS = CATALOG["keras_xception.imagenet"].preprocess


def test_no_words_describe_nothing() -> None:
    assert preprocess_of(()) is None


@pytest.mark.parametrize("name", ["keras_xception.imagenet", "keras_xception"])
def test_published_weights_are_a_source(name: str) -> None:
    assert preprocess_of([name]) == KERAS


def test_a_bundle_is_a_source(onnx_bundle: Bundle) -> None:
    assert preprocess_of([str(onnx_bundle.path)]) == onnx_bundle.model.preprocess
    assert preprocess_of([str(onnx_bundle.path / "model.json")]) == onnx_bundle.model.preprocess


def test_a_configuration_of_timm_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 1.0}}))
    found = preprocess_of([str(tmp_path / "config.json"), "range=0..1"])
    assert found is not None
    assert (found.output_px, found.mean, found.std) == ((96, 96), (0, 0, 0), (1, 1, 1))


def test_a_configuration_that_states_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="states no preprocessing"):
        preprocess_of([str(tmp_path / "config.json")])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("squash=64 range=-1..1", Preprocess(resize=Squash(width_px=64, height_px=64))),
        (
            "shorter_side=72 crop=64x48 range=0..1 interpolation=bilinear antialias=false",
            Preprocess(
                resize=ShorterSide(px=72),
                crop=CenterCrop(height_px=64, width_px=48),
                interpolation="bilinear",
                antialias=False,
                mean=(0, 0, 0),
                std=(1, 1, 1),
            ),
        ),
        (
            "crop_squash=32 range=0..255 color=gray fractions=true",
            Preprocess(
                color="gray",
                resize=CropSquash(width_px=32, height_px=32),
                divisor=1,
                mean=(0,),
                std=(1,),
                fractions=True,
            ),
        ),
        (
            "squash=8 mean=104,117,124 std=1 divisor=1 color=bgr",
            Preprocess(
                color="bgr", resize=Squash(width_px=8, height_px=8), mean=(104, 117, 124), std=(1, 1, 1), divisor=1
            ),
        ),
    ],
)
def test_settings_describe_a_preprocessing(words: str, expected: Preprocess) -> None:
    assert preprocess_of(words.split()) == expected


def test_a_setting_goes_before_its_source() -> None:
    found = preprocess_of(["keras_xception", "size=150", "range=0..255"])
    assert found is not None
    assert (found.resize, found.output_px) == (ShorterSide(px=167), (150, 150))
    assert (found.divisor, found.mean, found.std) == (1, (0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("squash=64", r"does not state the values \(such as range=0\.\.255"),
        ("range=0..1", r"does not state the size \(such as squash=299"),
        ("crop=64 mean=0.5", "does not state the values"),
        ("keras_xception timm_xception41", "names keras_xception and timm_xception41; expected one"),
        ("keras_xceptoin", "unknown .* did you mean"),
        ("squash=64 rnage=0..1", "no setting 'rnage'; did you mean range?"),
        ("squash=big range=0..1", "squash=big is no size; expected pixels, as squash=299"),
        ("shorter_side=9x8 range=0..1", "has two sizes"),
        ("squash=64 range=1..0", r"range=1\.\.0 is no range"),
        ("squash=64 range=0-255", "is no range"),
        ("squash=64 mean=a std=1", "mean=a is not valid; expected a number"),
        ("squash=64 mean=1,2 std=1", "expected a number, or three"),
        ("squash=64 range=0..1 interpolation=lanczos", "expected nearest, bilinear, bicubic"),
        ("squash=64 range=0..1 antialias=no", "expected true or false"),
        ("squash=64 range=0..1 antialias=false", "bicubic without antialias is not defined"),
        ("keras_xception size=100x50", "fits no images of 299x299 px"),
        ("squash=0 range=0..1", "a size below one pixel"),
    ],
)
def test_what_describes_none_is_refused(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preprocess_of(words.split())
