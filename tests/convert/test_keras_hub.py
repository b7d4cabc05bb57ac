"""What KerasHub states is built, or refused by name."""

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from parity.ours import draw
from tests.convert.packages import (
    WIDTHS,
    converter_config,
    keras_hub_config,
    task_config,
    write_layers,
    write_preset,
)
from xception.arch.stackwise import Stackwise
from xception.arch.variants import architecture
from xception.convert.conversion import convert_checkpoint
from xception.convert.naming.rename import rename
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.convert.ports import KERASHUB
from xception.convert.selection import WeightsChoice
from xception.errors import InputError, UsageError
from xception.preprocess import CropSquash, Preprocess, Squash

SPEC = architecture("keras_xception", stackwise=WIDTHS, num_classes=5)


def archive(path: Path, config: dict[str, Any], weights: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        file.write(weights, "model.weights.h5")
    return path


def test_a_preset_is_rebuilt_from_its_configuration_alone(tmp_path: Path) -> None:
    conversion = convert_checkpoint(write_preset(tmp_path / "preset", head={}))
    network = conversion.model.network
    assert (network.variant, network.stackwise_filters, network.num_classes) == (
        "keras_xception",
        WIDTHS.filters,
        5,
    )
    assert network.architecture() == SPEC
    expected = rename(draw(SPEC, "keras_hub"), SPEC, NAMING_SCHEMES["keras_hub"])
    assert conversion.tensors.keys() == expected.keys()
    assert all(np.array_equal(conversion.tensors[name], expected[name]) for name in expected)
    assert conversion.model.preprocess == KERASHUB
    assert "sha256 of task.weights.h5" in conversion.model.lineage[-1].settings


def test_other_widths_in_the_configuration_than_in_the_weights_are_refused(tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "preset", head={})
    wrong = Stackwise(filters=(*WIDTHS.filters[:-1], (14, 17)), pooling=WIDTHS.pooling)
    (preset / "task.json").write_text(json.dumps(task_config(keras_hub_config(wrong), converter_config())))
    with pytest.raises(InputError, match="cannot be converted"):
        convert_checkpoint(preset)


def test_an_archive_nests_the_backbone_and_states_the_same(tmp_path: Path) -> None:
    values = draw(SPEC, "keras_hub")
    head = {name: values.pop(name) for name in ("predictions/kernel", "predictions/bias")}
    weights = write_layers(tmp_path / "w.h5", values, "layers/xception_backbone/")
    write_layers(weights, head)
    task = task_config(keras_hub_config(), converter_config(image_size=[64, 96]))
    conversion = convert_checkpoint(archive(tmp_path / "m.keras", task, weights))
    assert conversion.model.network.stackwise_filters == WIDTHS.filters
    assert conversion.model.preprocess.resize == CropSquash(height_px=64, width_px=96)


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize(("stated", "activation"), [(None, "softmax"), ("sigmoid", "sigmoid"), ("softmax", "softmax")])
def test_pooling_and_activation_of_the_head_are_those_that_are_stated(
    pooling: str, stated: str | None, activation: str, tmp_path: Path
) -> None:
    preset = write_preset(tmp_path / "preset", head={"pooling": pooling, "activation": stated, "dropout": 0.25})
    model = convert_checkpoint(preset).model
    assert (model.network.pooling, model.activation, model.network.drop_rate) == (pooling, activation, 0.25)


def test_an_activation_may_be_a_described_function(tmp_path: Path) -> None:
    function = {"module": "builtins", "class_name": "function", "config": "sigmoid"}
    preset = write_preset(tmp_path / "preset", head={"activation": function})
    assert convert_checkpoint(preset).model.activation == "sigmoid"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"activation": "relu"}, "states the activation 'relu'"),
        ({"pooling": "attention"}, r"Invalid enum value 'attention' - at `\$.pooling`"),
        ({"num_labels": 5}, "unknown field `num_labels`"),
        ({"num_classes": 6}, "states num_classes 6, but the tensors have 5"),
        ({"backbone": keras_hub_config(include_rescaling=True)}, "unknown field `include_rescaling`"),
        ({"backbone": keras_hub_config(image_shape=[None, None, 1])}, "states in_channels 1, but the tensors have 3"),
        (
            {"backbone": keras_hub_config(stackwise_pooling=[True, False, False, True, False])},
            "block 2 does not pool and changes its width",
        ),
        ({"preprocessor": converter_config(pad_to_aspect_ratio=True)}, "pad_to_aspect_ratio"),
        ({"preprocessor": converter_config(interpolation="lanczos3")}, "Invalid enum value 'lanczos3'"),
        ({"preprocessor": converter_config(interpolation="bicubic")}, "bicubic without antialias"),
        ({"preprocessor": converter_config(gamma=2)}, "unknown field `gamma`"),
    ],
)
def test_what_is_stated_and_not_built_is_refused_with_its_name(
    head: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        convert_checkpoint(write_preset(tmp_path / "preset", head=head))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"crop_to_aspect_ratio": False}, {"resize": Squash(width_px=299, height_px=299)}),
        ({"antialias": True}, {"antialias": True}),
        ({"interpolation": "bicubic", "antialias": True}, {"interpolation": "bicubic", "antialias": True}),
        ({"image_size": None}, {"resize": None}),
        ({"scale": None, "offset": None}, {"mean": (0.0,) * 3, "std": (0.00392156862745,) * 3}),
        (
            {"scale": 1 / 255, "offset": None, "mean": [0.5, 0.4, 0.3], "variance": [0.25, 0.16, 0.09]},
            {"mean": (0.5, 0.4, 0.3), "std": (0.5, 0.4, 0.3)},
        ),
        ({"height": 96, "width": 64, "image_size": None}, {"resize": CropSquash(width_px=64, height_px=96)}),
    ],
)
def test_images_are_prepared_as_the_converter_states(
    changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    preset = write_preset(tmp_path / "preset", head={"preprocessor": converter_config(**changes)})
    assert convert_checkpoint(preset).model.preprocess == msgspec.structs.replace(KERASHUB, **expected)


def test_a_classifier_whose_head_is_not_there_is_refused(tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "preset", head={})
    (preset / "task.weights.h5").unlink()
    with pytest.raises(InputError, match="KerasHub's configuration states one, and the file has none"):
        convert_checkpoint(preset)


def test_a_preset_of_a_backbone_gives_embeddings_or_gets_a_head(tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "preset")
    assert convert_checkpoint(preset).model.network.num_classes == 0
    model = convert_checkpoint(preset, WeightsChoice(new_head=3)).model
    assert (model.network.num_classes, model.network.stackwise_filters) == (3, WIDTHS.filters)
    assert isinstance(model.preprocess, Preprocess)


def test_another_variant_than_the_stated_one_is_refused(tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "preset", head={})
    with pytest.raises(UsageError, match="states the network keras_xception; leave --variant out"):
        convert_checkpoint(preset, WeightsChoice(variant="timm_xception"))
