"""What zeromodels states is built, or refused by name."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from parity.ours import draw
from tests.convert.checkpoints import write_keras
from tests.convert.packages import (
    ZM_CONFIG,
    ZM_PREPROCESSOR,
    ZM_SETTINGS,
    narrow41p,
    write_layers,
    write_zeromodels,
)
from xception.convert.conversion import convert_checkpoint
from xception.convert.naming.rename import rename
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.convert.ports import ZEROMODELS
from xception.errors import InputError
from xception.preprocess import Squash

NESTED = ZM_CONFIG | {"vision_config": ZM_SETTINGS}
FLAT = ZM_CONFIG | ZM_SETTINGS
LEGACY = ZM_CONFIG | {"config": ZM_SETTINGS}


@pytest.mark.parametrize("config", [NESTED, FLAT, LEGACY], ids=["nested", "flat", "legacy"])
def test_all_three_layouts_of_the_configuration_are_read(config: dict[str, Any], tmp_path: Path) -> None:
    conversion = convert_checkpoint(write_zeromodels(tmp_path / "folder", config, ZM_PREPROCESSOR))
    spec = narrow41p()
    assert conversion.model.network.architecture() == spec
    expected = rename(draw(spec, "zeromodels"), spec, NAMING_SCHEMES["zeromodels"])
    assert all(np.array_equal(conversion.tensors[name], expected[name]) for name in expected)
    assert conversion.model.preprocess == ZEROMODELS
    assert conversion.model.network.norm_epsilon is None


def test_the_epsilon_is_that_of_the_configuration(tmp_path: Path) -> None:
    config = ZM_CONFIG | {"vision_config": ZM_SETTINGS | {"bn_epsilon": 1e-3}}
    network = convert_checkpoint(write_zeromodels(tmp_path / "folder", config)).model.network
    assert network.norm_epsilon == 1e-3
    assert network.architecture().norm.epsilon == 1e-3


def test_an_epsilon_that_is_not_stated_is_the_codes_default(tmp_path: Path) -> None:
    settings = {name: value for name, value in ZM_SETTINGS.items() if name != "bn_epsilon"}
    network = convert_checkpoint(
        write_zeromodels(tmp_path / "folder", ZM_CONFIG | {"vision_config": settings})
    ).model.network
    assert network.norm_epsilon == 1e-3


def test_an_h5_tells_the_class_and_its_arguments(tmp_path: Path) -> None:
    config = {"class_name": "XceptionImageClassify", "config": ZM_SETTINGS | {"bn_epsilon": 1e-3, "name": "mine"}}
    file = write_keras(tmp_path / "m.h5", draw(narrow41p(), "zeromodels"), msgspec.json.encode(config).decode())
    assert convert_checkpoint(file).model.network.norm_epsilon == 1e-3


def test_bare_weights_are_taken_for_the_published_network(tmp_path: Path) -> None:
    model = convert_checkpoint(write_layers(tmp_path / "model.weights.h5", draw(narrow41p(), "zeromodels"))).model
    assert model.network.norm_epsilon is None
    assert model.preprocess == ZEROMODELS


def test_a_normalisation_inside_of_earlier_networks_is_that_of_the_preprocessing(tmp_path: Path) -> None:
    settings = ZM_SETTINGS | {"include_normalization": True, "normalization_mode": "inception"}
    model = convert_checkpoint(write_zeromodels(tmp_path / "folder", ZM_CONFIG | {"vision_config": settings})).model
    assert (model.preprocess.mean, model.preprocess.std) == ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"config": "41"}, "states the network 41 with preact True"),
        ({"config": "99"}, "Invalid enum value '99'"),
        ({"config": "65p"}, "cannot be converted|states the network timm_xception65p"),
        ({"num_classes": 6}, "states num_classes 6, but the tensors have 5"),
        ({"classifier_activation": "relu"}, "Invalid enum value 'relu'"),
        ({"output_stride": 16}, "unknown field `output_stride`"),
        ({"include_normalization": True, "normalization_mode": "imagenet"}, "Invalid enum value 'imagenet'"),
        ({"bn_epsilon": 2.0}, r"Expected `float` < 1.0 - at `\$.bn_epsilon`"),
    ],
)
def test_what_is_stated_and_not_built_is_refused_with_its_name(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        convert_checkpoint(write_zeromodels(tmp_path / "folder", ZM_CONFIG | {"vision_config": ZM_SETTINGS | settings}))


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="states that its weights are quantized"):
        convert_checkpoint(
            write_zeromodels(tmp_path / "folder", NESTED | {"quantization_config": {"quant_method": "int8"}})
        )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"size": {"height": 96, "width": 64}}, {"resize": Squash(width_px=64, height_px=96)}),
        ({"resample": "bilinear"}, {"interpolation": "bilinear"}),
        ({"image_mean": [0.1, 0.2, 0.3]}, {"mean": (0.1, 0.2, 0.3)}),
        ({"rescale_factor": 1.0}, {"divisor": 1.0}),
    ],
)
def test_images_are_prepared_as_the_processor_states(
    changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_zeromodels(tmp_path / "folder", NESTED, ZM_PREPROCESSOR | changes)
    assert convert_checkpoint(folder).model.preprocess == msgspec.structs.replace(ZEROMODELS, **expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_center_crop": True}, "do_center_crop"),
        ({"do_resize": False}, "do_resize"),
        ({"resample": "lanczos"}, "Invalid enum value 'lanczos'"),
        ({"antialias": False}, "bicubic without antialias"),
    ],
)
def test_a_preparation_that_is_not_built_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        convert_checkpoint(write_zeromodels(tmp_path / "folder", NESTED, ZM_PREPROCESSOR | changes))
