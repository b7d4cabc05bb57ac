"""A model folder's description of the network is built, or refused by name; nothing in it is ignored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.ours import seeded_tensors
from tests.convert.checkpoints import small
from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.convert.conversion import Conversion, convert_checkpoint
from xception.convert.naming.rename import rename_back
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.convert.selection import WeightsChoice
from xception.convert.stated import StatedFacts
from xception.convert.timm_stated import timm_facts, trainer_facts
from xception.errors import InputError, UsageError
from xception.models.network import build
from xception.weights import read_weights, weights_bytes

PRETRAINED = {"input_size": [3, 97, 97], "crop_pct": 0.9, "mean": [0.5] * 3, "std": [0.5] * 3}


def folder(place: Path, spec: Architecture, **config: Any) -> Path:
    """A model folder of a network, with weights that are seeded."""
    plain = architecture(spec.name, num_classes=spec.num_classes, width=0.25)
    tensors = rename_back(seeded_tensors(plain), plain, NAMING_SCHEMES["timm"])
    if spec.head.pooling == "catavgmax":
        name = next(name for name in tensors if name.endswith("fc.weight"))
        tensors[name] = np.concatenate([tensors[name], 2 * tensors[name]], axis=1)
    place.mkdir()
    (place / "model.safetensors").write_bytes(weights_bytes(tensors))
    stated = {"architecture": spec.name.removeprefix("timm_"), "pretrained_cfg": PRETRAINED, **config}
    (place / "config.json").write_text(json.dumps(stated))
    return place


def convert(place: Path, variant: str = "timm_xception41", **config: Any) -> Conversion:
    return convert_checkpoint(folder(place / "model", small(variant, num_classes=7), **config))


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        ({}, {}),
        ({"model_args": {"output_stride": 16}}, {"output_stride": 16}),
        ({"model_args": {"output_stride": 32}}, {}),
        ({"model_args": {"global_pool": "max"}}, {"pooling": "max"}),
        ({"global_pool": "fastmax"}, {"pooling": "max"}),
        ({"global_pool": "fast"}, {"pooling": "avg"}),
        ({"global_pool": "Max"}, {"pooling": "max"}),
        ({"global_pool": "avgmax", "model_args": {"global_pool": "avgmax"}}, {"pooling": "avgmax"}),
        ({"model_args": {"drop_rate": 0.3, "drop_path_rate": 0.1}}, {"drop_rate": 0.3, "drop_path_rate": 0.1}),
        ({"model_args": {"act_layer": "relu", "in_chans": 3, "num_classes": 7}}, {}),
        ({"num_classes": 7, "num_features": 2048, "model_type": "timm_wrapper", "do_pooling": True}, {}),
    ],
)
def test_what_is_stated_is_built(tmp_path: Path, config: dict[str, Any], facts: dict[str, Any]) -> None:
    network = convert(tmp_path, **config).model.network
    names = ("output_stride", "pooling", "drop_rate", "drop_path_rate")
    expected = dict.fromkeys(names) | {"pooling": "avg"} | facts
    assert {name: getattr(network, name) for name in names} == expected


def test_both_poolings_in_a_row_are_told_by_the_classifier_and_stated(tmp_path: Path) -> None:
    spec = architecture("timm_xception41", num_classes=7, width=0.25, pooling="catavgmax")
    made = convert_checkpoint(folder(tmp_path / "model", spec, global_pool="catavgmax"))
    assert made.model.network.architecture() == spec
    build(spec, made.tensors)


@pytest.mark.parametrize(
    ("config", "pooling", "is_said"),
    [
        ({"num_classes": 0}, "avg", False),
        ({"num_classes": 0, "global_pool": "max"}, "max", False),
        ({"model_args": {"num_classes": 0, "global_pool": "avgmax"}}, "avgmax", False),
        ({"num_classes": 0, "global_pool": ""}, "avg", True),
        ({"model_args": {"features_only": True}}, "avg", True),
        ({"num_classes": 7, "do_pooling": False}, "avg", True),
    ],
)
def test_a_network_without_classes_gives_embeddings(
    tmp_path: Path, config: dict[str, Any], pooling: str, is_said: bool
) -> None:
    made = convert(tmp_path, **config)
    network, settings = made.model.network, made.model.lineage[0].settings
    assert (network.num_classes, network.pooling, made.model.activation) == (0, pooling, "none")
    assert settings["dropped_classifier"] == "head.fc, since config.json states no classes"
    assert (settings.get("pooling") == "the average, since the file states none") == is_said
    assert made.tensors.keys() == tensors(network.architecture()).keys()


def test_a_file_without_the_classifier_that_is_stated_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path / "model", small("timm_xception41", num_classes=7), num_classes=7)
    weights = read_weights(place / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("head.")}
    (place / "model.safetensors").write_bytes(weights_bytes(kept))
    with pytest.raises(InputError, match=r"states one, and .* has none; .* --new-head K .* 0 for embeddings"):
        convert_checkpoint(place)
    assert convert_checkpoint(place, WeightsChoice(new_head=0)).model.network.num_classes == 0
    stated = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**stated, "num_classes": 0}))
    assert convert_checkpoint(place).model.network.num_classes == 0


@pytest.mark.parametrize(
    ("problem", "activation"),
    [
        ("single_label_classification", "softmax"),
        ("multi_label_classification", "sigmoid"),
    ],
)
def test_the_problem_of_transformers_is_the_activation(tmp_path: Path, problem: str, activation: str) -> None:
    assert convert(tmp_path, problem_type=problem).model.activation == activation


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_args": {"block_size": 3, "num_classes": 7}}, r"`block_size`.*known in model_args are num_classes"),
        ({"model_args": {"output_stride": 4}}, r"output_stride"),
        ({"model_args": {"global_pool": ""}}, "the global_pool '' is not supported; expected avg"),
        ({"global_pool": "avg", "model_args": {"global_pool": "max"}}, "two values of global_pool: 'avg' and 'max'"),
        ({"num_classes": 9}, "states num_classes 9, but the tensors have 7"),
        ({"model_args": {"in_chans": 1}}, "states in_channels 1, but the tensors have 3"),
        ({"architecture": "xception65"}, "states the network timm_xception65, and the tensors are those of"),
        ({"architecture": "resnet50"}, "states the architecture 'resnet50'; expected one of legacy_xception"),
        ({"model_args": {"act_layer": "silu"}}, "states act_layer 'silu'; expected relu"),
        ({"model_args": {"norm_layer": "groupnorm"}}, r"`norm_layer`"),
        ({"problem_type": "ranking"}, "states problem_type 'ranking'"),
        ({"pretrained_cfg": {**PRETRAINED, "label_offset": 1}}, "a label_offset of 1"),
    ],
)
def test_what_is_stated_and_not_built_is_refused(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert(tmp_path, **config)


def test_a_network_that_pools_has_no_other_output_stride(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot have output stride 16"):
        convert(tmp_path, "timm_xception", architecture="legacy_xception", model_args={"output_stride": 16})


def test_the_arguments_of_the_training_script_are_read() -> None:
    arguments = {"model": "xception41", "gp": "max", "model_kwargs": {"output_stride": 16}}
    found = trainer_facts({"args": arguments})
    assert (found.variants, found.pooling, found.output_stride) == (("timm_xception41",), "max", 16)
    with pytest.raises(InputError, match="its training arguments states something"):
        trainer_facts({"args": {**arguments, "model_kwargs": {"width": 2}}})
    assert trainer_facts({"epoch": 3, "args": {"lr": 0.1}}) == StatedFacts()
    assert timm_facts({}).pooling is None
