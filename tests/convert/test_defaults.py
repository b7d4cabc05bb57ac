from dataclasses import replace

import pytest

from xception.arch.variants import VARIANTS, architecture
from xception.convert.defaults import default_labels, default_preprocess, with_input_px
from xception.errors import UsageError
from xception.labels import imagenet1k
from xception.preprocess import CenterCrop, Preprocess, Squash


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_a_preprocessing_of_its_channels_and_size(variant: str) -> None:
    spec = VARIANTS[variant]
    preprocess = default_preprocess(spec)
    assert preprocess.channels == spec.in_channels
    assert preprocess.output_px == (spec.input_px, spec.input_px)


def test_a_network_without_published_weights_has_its_images_squashed() -> None:
    spec = replace(VARIANTS["timm_xception"], name="timm_xception99")
    assert default_preprocess(spec).resize == Squash(width_px=299, height_px=299)


def test_gray_and_colour_take_each_other_s_place() -> None:
    gray = default_preprocess(architecture("timm_xception", in_channels=1))
    assert (gray.color, gray.mean, gray.std) == ("gray", (0.5,), (0.5,))
    assert default_preprocess(architecture("mini_xception", in_channels=3)).color == "rgb"


def test_other_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="the network takes images of 4 channels"):
        default_preprocess(architecture("timm_xception", in_channels=4))


def test_another_input_size_is_squashed_to() -> None:
    preprocess = Preprocess(crop=CenterCrop(width_px=9, height_px=8))
    assert with_input_px(preprocess, 8, 9) is preprocess
    assert with_input_px(preprocess, 9, 8).resize == Squash(height_px=9, width_px=8)
    assert with_input_px(preprocess, 9, 8).output_px == (9, 8)


def test_classes_without_names_are_numbered() -> None:
    assert default_labels(2).names == ("class 0", "class 1")
    assert default_labels(1000) == imagenet1k()
