from collections import Counter

import pytest

from xception.arch.compute import output_shapes
from xception.arch.graph import INPUT, Add, BatchNorm, Conv, Dense, GlobalAveragePool, MaxPool, Relu, Scale, unfold
from xception.arch.spec import with_output_stride
from xception.arch.variants import VARIANTS


@pytest.mark.parametrize("name", VARIANTS)
def test_every_node_has_its_own_name_and_reads_only_earlier_ones(name: str) -> None:
    known = {INPUT}
    for node in unfold(VARIANTS[name]):
        sources = {node.source, node.other} if isinstance(node, Add) else {node.source}
        assert sources <= known
        assert node.name not in known
        known.add(node.name)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_result_but_the_logits_is_read(name: str) -> None:
    nodes = unfold(VARIANTS[name])
    read = {node.source for node in nodes} | {node.other for node in nodes if isinstance(node, Add)}
    assert {node.name for node in nodes} - read == {nodes[-1].name}


@pytest.mark.parametrize("name", VARIANTS)
def test_both_sides_of_every_sum_have_one_shape(name: str) -> None:
    spec = VARIANTS[name]
    shapes = output_shapes(spec, spec.input_px, spec.input_px + 1)
    sums = [node for node in unfold(spec) if isinstance(node, Add)]
    assert sums
    assert all(shapes[node.source] == shapes[node.other] for node in sums)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_layer_fits_the_channels_that_it_reads(name: str) -> None:
    spec = VARIANTS[name]
    shapes = output_shapes(spec, spec.input_px, spec.input_px)
    for node in unfold(spec):
        match node:
            case Conv():
                assert shapes[node.source][0] == node.in_channels
            case BatchNorm():
                assert shapes[node.source][0] == node.channels
            case Dense():
                assert shapes[node.source] == (node.in_features,)


# Layers as the names count them: a separable convolution is one, shortcuts are left out.
@pytest.mark.parametrize(
    ("name", "depth"),
    [("timm_xception", 36), ("timm_xception41", 41), ("timm_xception65", 65), ("timm_xception71", 71)],
)
def test_depths_are_those_that_give_the_networks_their_names(name: str, depth: int) -> None:
    nodes = unfold(VARIANTS[name])
    convolutions = [node.name for node in nodes if isinstance(node, Conv) and "shortcut" not in node.name]
    layers = [layer for layer in convolutions if not layer.endswith("depthwise")]
    assert len(layers) == depth


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm_xception", {MaxPool: 4, Add: 12, Scale: 0, Dense: 1}),
        ("timm_xception41", {MaxPool: 0, Add: 12, Scale: 0, Dense: 1}),
        ("ppcls_xception71", {MaxPool: 6, Add: 22, Scale: 0, Dense: 1}),
        ("ppcls_xception41_deeplab", {MaxPool: 0, Add: 12, Scale: 1, Dense: 1}),
        ("mini_xception", {MaxPool: 4, Add: 4, Scale: 0, Dense: 0}),
    ],
)
def test_the_graph_holds_the_operations_of_its_network(name: str, expected: dict[type, int]) -> None:
    counts = Counter(type(node) for node in unfold(VARIANTS[name]))
    assert {kind: counts[kind] for kind in expected} == expected


def test_dense_heads_pool_first_and_convolutional_heads_last() -> None:
    *_, pool, dense = unfold(VARIANTS["timm_xception"])
    assert (type(pool), type(dense)) == (GlobalAveragePool, Dense)
    *_, conv, pool = unfold(VARIANTS["mini_xception"])
    assert (type(conv), type(pool)) == (Conv, GlobalAveragePool)


def test_gluon_feeds_both_paths_of_its_second_block_an_activation() -> None:
    nodes = {node.name: node for node in unfold(VARIANTS["gluon_xception65"])}
    assert isinstance(nodes["blocks.1.before.act"], Relu)
    assert nodes["blocks.1.shortcut.conv"].source == "blocks.1.before.act"
    timm = {node.name: node for node in unfold(VARIANTS["timm_xception65"])}
    assert timm["blocks.1.shortcut.conv"].source == "blocks.0.add"


def test_depthwise_convolutions_pad_by_their_dilation() -> None:
    convs = [node for node in unfold(with_output_stride(VARIANTS["timm_xception41"], 8)) if isinstance(node, Conv)]
    depthwise = [conv for conv in convs if conv.groups > 1]
    assert {conv.dilation for conv in depthwise} == {1, 2, 4}
    assert all(conv.padding == conv.dilation and conv.groups == conv.in_channels for conv in depthwise)
