"""A stated network is the variant's, operation by operation, or it is refused."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.convert.keras_models import kept
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.convert.keras_body import check_network
from xception.convert.keras_graph import StatedGraph, stated_graph
from xception.errors import InputError

SPEC = architecture("keras_xception", num_classes=3)


def changed(change: Callable[[dict[str, dict[str, Any]]], object]) -> StatedGraph:
    """The flat model with a change of its layers, which are given by name."""
    config = deepcopy(kept()["flat"]["config"])
    change({row["name"]: row for row in config["config"]["layers"]})
    found = stated_graph(config)
    assert found is not None
    return found


def test_a_real_model_states_the_network_of_its_variant() -> None:
    check_network(changed(lambda _: None), SPEC)


@pytest.mark.parametrize("variant", ["timm_xception", "mini_xception"])
def test_it_does_not_state_that_of_another(variant: str) -> None:
    with pytest.raises(InputError, match=f"states another network than {variant}"):
        check_network(changed(lambda _: None), architecture(variant))


def config_of(layer: str, **settings: object) -> Callable[[dict[str, dict[str, Any]]], object]:
    return lambda layers: layers[layer]["config"].update(settings)


def swap_sources(layers: dict[str, dict[str, Any]]) -> None:
    """Let two blocks of the middle read each other's place in the row, so that all operations stay."""
    first, second = (layers[f"block{number}_sepconv1_act"] for number in (6, 7))
    first["inbound_nodes"], second["inbound_nodes"] = second["inbound_nodes"], first["inbound_nodes"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (config_of("block5_sepconv1_bn", epsilon=1e-5), "1 x norm epsilon 1e-05.*1 x norm epsilon 0.001"),
        (config_of("block2_pool", padding="valid"), "max-pool 3 stride 2 valid"),
        (config_of("block1_conv1", strides=[1, 1]), "conv 32 3 stride 1"),
        (config_of("block3_sepconv2", dilation_rate=[2, 2]), "depthwise 0 3 stride 1 dilation 2 2"),
        (config_of("block4_sepconv1_act", activation="elu"), "1 x elu"),
        (config_of("block1_conv2", activation="relu"), "1 x relu"),
        (config_of("block1_conv2", data_format="channels_first"), "with channels first"),
        (config_of("block1_conv2", kernel_size=[3, 5]), "expected a square one"),
        (lambda layers: layers["block2_pool"].update(class_name="AveragePooling2D"), "where no variant has one"),
    ],
)
def test_an_operation_of_another_kind_is_named(
    change: Callable[[dict[str, dict[str, Any]]], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_network(changed(change), SPEC)


def test_other_connections_are_found() -> None:
    def skip_a_block(layers: dict[str, dict[str, Any]]) -> None:
        # Both are sums of the middle flow, so that every operation stays.
        text = layers["block8_sepconv1_act"]["inbound_nodes"][0]["args"][0]["config"]
        text["keras_history"] = layers["block7_sepconv1_act"]["inbound_nodes"][0]["args"][0]["config"]["keras_history"]

    spec: Architecture = SPEC
    with pytest.raises(InputError, match="in another order, or connected otherwise"):
        check_network(changed(skip_a_block), spec)
