"""A configuration of PaddleClas next to a checkpoint is built, or refused by name; nothing in it is ignored."""

from pathlib import Path
from typing import Any

import pytest

from tests.convert.run_configs import OPERATIONS, PADDLE, changed, paddle_file
from xception.convert.conversion import convert_checkpoint
from xception.convert.diagnosis import diagnose
from xception.convert.paddle_stated import paddle_facts
from xception.convert.readers import read_checkpoint
from xception.errors import InputError
from xception.preprocess import CenterCrop, ShorterSide, Squash


def test_a_configuration_of_paddle_decides_network_and_images(tmp_path: Path) -> None:
    plain = convert_checkpoint(paddle_file(tmp_path, names=()))
    made = convert_checkpoint(paddle_file(tmp_path, PADDLE))
    expected = plain.model.preprocess, made.model.preprocess
    assert expected[0].crop == CenterCrop(width_px=299, height_px=299, offset="floor")
    assert expected[1].resize == ShorterSide(px=256, long_side="round")
    assert expected[1].crop == CenterCrop(width_px=224, height_px=224, offset="floor")
    assert (expected[1].mean, expected[1].std, expected[1].divisor) == (expected[0].mean, expected[0].std, 255.0)
    assert made.model.network == plain.model.network


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        (changed(PADDLE, "Global", use_multilabel=True), {"activation": "sigmoid"}),
        (changed(PADDLE, "Loss", Train=[{"MultiLabelLoss": {"weight": 1.0}}]), {"activation": "sigmoid"}),
        (changed(PADDLE, "Infer", PostProcess={"name": "MultiLabelThreshOutput"}), {"activation": "sigmoid"}),
        (PADDLE, {"activation": None, "num_classes": 11, "in_channels": 3, "variants": ("ppcls_xception41",)}),
        ({"PreProcess": {"transform_ops": [{"ResizeImage": {"size": [64, 48]}}]}}, {"variants": None}),
    ],
)
def test_paddle_states_activation_classes_and_channels(config: dict[str, Any], facts: dict[str, Any]) -> None:
    found = paddle_facts(config, "it")
    assert {name: getattr(found, name) for name in facts} == facts


def test_an_inference_configuration_of_paddle_is_read_as_it_stands() -> None:
    found = paddle_facts({"PreProcess": {"transform_ops": [{"ResizeImage": {"size": [64, 48]}}]}}, "it").preprocess
    assert found is not None
    assert (found.resize, found.crop) == (Squash(width_px=64, height_px=48), None)
    # Without an operation that normalises, the values stay what they are.
    assert (found.divisor, found.mean, found.std) == (1.0, (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(PADDLE, "Arch", class_expand=1280), r"states Arch\.class_expand, which is not supported"),
        (changed(PADDLE, "Arch", name="ResNet50"), "the network 'ResNet50'; expected Xception41"),
        (changed(PADDLE, "Arch", name="Xception65"), "states the network ppcls_xception65, and the tensors are those"),
        (changed(PADDLE, "Arch", class_num=7), "states num_classes 7, but the tensors have 11"),
        (changed(PADDLE, "Global", image_shape=[1, 224, 224]), "states in_channels 1, but the tensors have 3"),
        (changed(PADDLE, "Infer", transforms=[{"PadImage": {}}]), "Infer states the operation PadImage; expected Dec"),
        (changed(PADDLE, "Infer", transforms=OPERATIONS[:2]), r"different ways .* in DataLoader\.Eval and Infer"),
        (
            changed(PADDLE, "Infer", transforms=[{"ResizeImage": {"resize_long": 9}}]),
            r"states ResizeImage\.resize_long",
        ),
        (changed(PADDLE, "Infer", transforms=[{"ResizeImage": {}}]), "cannot be used: expected either resize_short"),
        (
            changed(PADDLE, "Infer", transforms=[{"NormalizeImage": {"scale": "1/0"}}]),
            "cannot be used: float div",
        ),
        (changed(PADDLE, "Infer", transforms=[{"ResizeImage": {"size": 9, "interpolation": "area"}}]), "the bilinear"),
        ({"Arch": ["Xception41"]}, "states the Arch .* expected keys and values"),
    ],
)
def test_what_paddle_states_and_is_not_built_is_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        convert_checkpoint(paddle_file(tmp_path, config))


def test_the_diagnosis_tells_what_is_refused(tmp_path: Path) -> None:
    file = paddle_file(tmp_path, changed(PADDLE, "Arch", class_expand=1280))
    assert "Xception41.yaml next to it states Arch.class_expand" in diagnose(read_checkpoint(file)).refused
