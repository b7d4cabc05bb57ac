from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support.reader import HELD_OUT
from tests.support.samples import labelled
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.data.source import Items
from xception.errors import InputError
from xception.quantize.calibration import Calibration, labelled_for, split
from xception.quantize.quantize import quantize_bundle

TRAIN = digits("train")


def changed(change: Callable[[Image.Image], Image.Image]) -> Items:
    items = tuple(replace(item, load=lambda item=item: change(item.load())) for item in TRAIN)
    return Items("changed", TRAIN.classes, items)


def refusal(reader: Bundle, source: Items, tmp_path: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        quantize_bundle(reader, source, tmp_path / "q", **{"validation": HELD_OUT, "images": 100} | options)
    assert error.value.exit_code == 3
    assert not list(tmp_path.iterdir())
    return str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.point(lambda value: value // 255),
        lambda image: image.point(lambda value: max(0, 2 * (value - 128))),
        ImageOps.invert,
        lambda image: image.point(lambda value: 112 + value // 8),
    ],
    ids=["divided by 255", "shifted and clipped", "inverted", "without contrast"],
)
def test_images_that_were_normalised_before_are_refused(
    change: Callable[[Image.Image], Image.Image], reader: Bundle, tmp_path: Path
) -> None:
    message = refusal(reader, changed(change), tmp_path)
    assert "the bundle normalises them itself" in message or "not prepared or not labelled alike" in message


def test_images_whose_values_fit_and_whose_content_does_not_are_refused(reader: Bundle, tmp_path: Path) -> None:
    turned = changed(lambda image: image.transpose(Image.Transpose.ROTATE_90))
    assert "not prepared or not labelled alike" in refusal(reader, turned, tmp_path)


def test_images_of_one_class_are_refused(reader: Bundle, tmp_path: Path) -> None:
    ones = Items("ones", TRAIN.classes, tuple(item for item in TRAIN if item.target == 1))
    assert "show 1 of 10 classes" in refusal(reader, ones, tmp_path)


def test_images_of_one_class_without_labels_are_refused_too(reader: Bundle, tmp_path: Path) -> None:
    ones = Items("ones", (), tuple(replace(item, target=None) for item in TRAIN if item.target == 0))
    assert "of 10 classes" in refusal(reader, ones, tmp_path)


def test_images_that_are_judged_on_as_well_are_refused(reader: Bundle, tmp_path: Path) -> None:
    both = Items("both", TRAIN.classes, (*HELD_OUT.items[:100], *TRAIN.items[:5]))
    assert "in both the calibration and the validation data" in refusal(reader, TRAIN, tmp_path, validation=both)


def test_too_few_images_are_refused(reader: Bundle, tmp_path: Path) -> None:
    assert "expected at least 16" in refusal(reader, TRAIN, tmp_path, images=15)


def test_calibration_must_leave_images_to_judge_on() -> None:
    with pytest.raises(InputError, match=r"leaves none to judge the result on .* fewer --calibration-images"):
        split(labelled(60), None, 60)


def test_an_image_that_cannot_be_read_is_named(reader: Bundle) -> None:
    images = iter(Calibration(labelled(3, broken=(1,)), reader.model.preprocess))
    assert next(images).shape == (1, 1, 32, 32)
    with pytest.raises(InputError, match="calibration image 001 cannot be used"):
        next(images)


def test_the_digest_depends_on_the_images_alone(reader: Bundle) -> None:
    def digest(items: Items) -> str:
        return Calibration(items, reader.model.preprocess).provenance().digest

    some = TRAIN.items[:20]
    renamed = Items("other", TRAIN.classes, tuple(replace(item, key="x" + item.key) for item in reversed(some)))
    assert digest(Items("some", TRAIN.classes, some)) == digest(renamed)
    assert digest(renamed) != digest(Items("fewer", TRAIN.classes, some[:-1]))
    assert np.unique([item.target for item in some]).size > 1


def test_classes_that_the_model_does_not_know_are_no_labels_to_calibrate_by(reader: Bundle) -> None:
    source = digits("train")
    foreign = Items("foreign", tuple(f"class {name}" for name in source.classes), source.items[:20])
    found = labelled_for(reader, foreign)
    assert {item.target for item in found} == {None}
    assert [item.key for item in found] == [item.key for item in foreign]
    known = Items("known", source.classes, source.items[:20])
    assert labelled_for(reader, known) is known
