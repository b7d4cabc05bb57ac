import numpy as np
import pytest

from tests.convert.checkpoints import PUBLISHED, checkpoint, hollow
from xception.arch.compute import tensors
from xception.arch.variants import VARIANTS, architecture
from xception.convert.match import Match, match_variant, match_variants, twins
from xception.convert.weight_groups import weight_groups


def fitted(values: dict[str, np.ndarray], source: str, variant: str) -> Match:
    (weights,) = weight_groups(checkpoint(values))
    return match_variant(weights, source, variant)


@pytest.mark.parametrize(("source", "variant"), PUBLISHED)
def test_every_network_fits_itself_fully(source: str, variant: str) -> None:
    found = fitted(hollow(source, variant), source, variant)
    assert found.is_full
    assert found.score == 1
    assert found.spec == VARIANTS[variant]


@pytest.mark.parametrize(("source", "variant"), PUBLISHED)
def test_classes_channels_and_width_are_read_from_the_shapes(source: str, variant: str) -> None:
    found = fitted(hollow(source, variant, num_classes=13, in_channels=4, width=0.25), source, variant)
    assert found.is_full
    assert tensors(found.spec) == tensors(architecture(variant, num_classes=13, in_channels=4, width=0.25))


def test_what_differs_is_told_by_the_names_in_the_file() -> None:
    values = hollow("keras", "keras_xception")
    kernel = values.pop("block14_sepconv2_bn/beta")
    values["block1_conv1_bn/gamma"] = np.zeros(31)
    values["conv2d_17/kernel"] = kernel
    found = fitted(values, "keras", "keras_xception")
    assert found.missing == ("block14_sepconv2_bn/beta",)
    assert found.unexpected == ("conv2d_17/kernel",)
    assert found.misshapen == ("block1_conv1_bn/gamma is (31,), expected (32,)",)
    assert found.matched == len(values) - 2
    assert not found.is_full


def test_a_file_without_its_classifier_is_headless_and_no_more() -> None:
    values = hollow("timm", "timm_xception")
    bias, weight = values.pop("fc.bias"), values.pop("fc.weight")
    assert fitted(values, "timm", "timm_xception").is_headless
    assert not fitted(values | {"fc.bias": bias}, "timm", "timm_xception").is_headless
    assert not fitted(values | {"other": weight}, "timm", "timm_xception").is_headless
    del values["bn4.bias"]
    assert not fitted(values, "timm", "timm_xception").is_headless


def test_files_of_other_names_share_nothing() -> None:
    found = fitted({"layer1.0.conv1.weight": np.zeros((64, 64, 3, 3))}, "timm", "timm_xception65")
    assert (found.matched, found.score, found.is_full) == (0, 0, False)
    assert found.unexpected == ("layer1.0.conv1.weight",)
    assert len(found.missing) == len(tensors(VARIANTS["timm_xception65"]))


def test_tensors_of_too_few_axes_are_told_and_not_tripped_over() -> None:
    values = {name: np.zeros(()) for name in hollow("tfslim", "timm_xception41")}
    found = fitted(values, "tfslim", "timm_xception41")
    assert found.matched == 0
    assert len(found.misshapen) == len(values)


def test_an_empty_classifier_is_told_and_not_tripped_over() -> None:
    values = hollow("timm", "timm_xception") | {"fc.weight": np.zeros((0, 2048)), "fc.bias": np.zeros(0)}
    assert len(fitted(values, "timm", "timm_xception").misshapen) == 2


def test_a_contradiction_in_the_file_is_a_problem_not_a_crash() -> None:
    values = {f"convolution2d_{index}/convolution2d_{index}_W": np.zeros((3, 3, 3, 32)) for index in (9, 1, 5)}
    assert "are not in the order" in fitted(values, "keras", "keras_xception").problem


def test_the_published_width_goes_first() -> None:
    (weights,) = weight_groups(checkpoint(hollow("keras", "tiny_xception")))
    best, *_ = match_variants(weights)
    assert (best.spec.name, best.width) == ("tiny_xception", 1.0)


def test_a_background_class_is_seen() -> None:
    assert fitted(hollow("tfslim", "timm_xception41", num_classes=1001), "tfslim", "timm_xception41").drops_background
    assert not fitted(hollow("tfslim", "timm_xception41"), "tfslim", "timm_xception41").drops_background


def test_twins_are_the_networks_that_shapes_cannot_tell_apart() -> None:
    assert set(twins("timm_xception")) == {"keras_xception", "mindcv_xception", "mindspore_xception"}
    assert twins("timm_xception41") == ("ppcls_xception41_deeplab",)
    assert set(twins("timm_xception65")) == {"gluon_xception65", "ppcls_xception65_deeplab"}
    assert twins("mini_xception") == twins("timm_xception65p") == ()
