from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xception.arch.compute import cost, tensors
from xception.arch.spec import (
    Architecture,
    SeparableConv,
    with_classes,
    with_drop,
    with_in_channels,
    with_norm_epsilon,
    with_output_stride,
    with_width,
)
from xception.arch.variants import VARIANTS, architecture
from xception.errors import UsageError

STRIDED = [name for name, row in VARIANTS.items() if not any(block.pool for block in row.blocks)]


def dilations(spec: Architecture) -> list[int]:
    return [max(unit.dilation for unit in block.units) for block in spec.blocks]


def test_the_depthwise_convolution_sees_the_channels_of_its_side() -> None:
    first = SeparableConv(in_channels=3, out_channels=5)
    last = SeparableConv(in_channels=3, out_channels=5, order="pointwise_first")
    assert (first.depthwise_channels, last.depthwise_channels) == (3, 5)


def test_a_specification_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        VARIANTS["timm_xception"].name = "mine"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_large_networks_have_output_stride_32_and_the_small_ones_less(name: str) -> None:
    small = {"mini_xception": 16, "mini48_xception": 8, "tiny_xception": 16, "big_xception": 8}
    assert VARIANTS[name].output_stride == small.get(name, 32)


def test_the_number_of_classes_changes_the_classifier_alone() -> None:
    before, after = (tensors(spec) for spec in (VARIANTS["timm_xception"], with_classes(VARIANTS["timm_xception"], 7)))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"head.classifier.weight", "head.classifier.bias"}
    assert after["head.classifier.weight"] == (7, 2048)


def test_input_channels_change_the_first_convolution_alone() -> None:
    before = tensors(VARIANTS["timm_xception41"])
    after = tensors(with_in_channels(VARIANTS["timm_xception41"], 1))
    assert {name for name in before if before[name] != after[name]} == {"stem.0.conv.weight"}
    assert after["stem.0.conv.weight"] == (32, 1, 3, 3)


def test_another_epsilon_changes_nothing_else() -> None:
    before = VARIANTS["timm_xception41p"]
    after = architecture("timm_xception41p", norm_epsilon=1e-3)
    assert after.norm.epsilon == 1e-3
    assert with_norm_epsilon(after, before.norm.epsilon) == before
    with pytest.raises(UsageError, match="norm_epsilon is 0; expected a number between 0 and 1"):
        with_norm_epsilon(before, 0)


def test_width_scales_every_inner_channel_and_neither_input_nor_classes() -> None:
    half = with_width(VARIANTS["timm_xception"], 0.5)
    assert (half.in_channels, half.num_classes) == (3, 1000)
    assert half.stem[1].out_channels == 32
    assert half.blocks[5].units[0].in_channels == 364
    assert half.head.in_channels == 1024


@given(name=st.sampled_from(sorted(VARIANTS)), width=st.floats(0.001, 1.5))
def test_any_width_gives_layers_that_fit_together(name: str, width: float) -> None:
    spec = with_width(VARIANTS[name], width)
    units = [unit for block in spec.blocks for unit in block.units]
    ins = [unit.in_channels for unit in units]
    assert ins == [spec.stem[-1].out_channels, *(unit.out_channels for unit in units[:-1])]
    assert spec.head.in_channels == units[-1].out_channels
    assert min(ins) >= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: with_classes(spec, -1), "num_classes is -1; expected at least 1, or 0 for embeddings"),
        (lambda spec: with_in_channels(spec, 0), "in_channels is 0"),
        (lambda spec: with_width(spec, 0.0), "width is 0.0"),
        (lambda spec: with_width(spec, float("nan")), "width is nan"),
        (lambda spec: with_drop(spec, 1.0, None), "drop_rate is 1.0"),
        (lambda spec: with_drop(spec, None, -0.1), "drop_path_rate is -0.1"),
        (lambda spec: with_drop(spec, float("nan"), None), "drop_rate is nan"),
    ],
)
def test_a_value_without_meaning_is_refused_by_name(change: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        change(VARIANTS["timm_xception"])


def test_none_keeps_a_drop_rate() -> None:
    spec = VARIANTS["mindcv_xception"]
    assert with_drop(spec, None, 0.2).head.drop_rate == spec.head.drop_rate == 0.5
    assert with_drop(spec, 0.0, None).head.drop_rate == 0.0


@pytest.mark.parametrize("name", STRIDED)
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_strided_networks_reach_every_output_stride_with_the_same_tensors(name: str, stride: int) -> None:
    spec = with_output_stride(VARIANTS[name], stride)
    assert spec.output_stride == stride
    assert tensors(spec) == tensors(VARIANTS[name])


def test_output_stride_16_dilates_the_tail_by_two() -> None:
    assert dilations(with_output_stride(VARIANTS["timm_xception41"], 16)) == [1] * 12 + [2]


def test_output_stride_8_dilates_middle_and_exit_by_two_and_the_tail_by_four() -> None:
    assert dilations(with_output_stride(VARIANTS["timm_xception41"], 8)) == [1] * 3 + [2] * 9 + [4]


def test_a_dilated_tail_is_dilated_further() -> None:
    assert dilations(with_output_stride(VARIANTS["ppcls_xception41_deeplab"], 16))[-1] == 4


def test_xception71_keeps_its_projection_at_output_stride_8() -> None:
    block = with_output_stride(VARIANTS["timm_xception71"], 8).blocks[4]
    assert (block.in_channels, block.out_channels, block.stride) == (728, 728, 1)
    assert block.shortcut == "conv_norm"


def test_the_own_output_stride_changes_nothing_even_where_the_network_pools() -> None:
    assert with_output_stride(VARIANTS["keras_xception"], 32) is VARIANTS["keras_xception"]


@pytest.mark.parametrize(("name", "stride"), [("keras_xception", 16), ("timm_xception41", 4), ("mini_xception", 32)])
def test_an_impossible_output_stride_is_refused(name: str, stride: int) -> None:
    with pytest.raises(UsageError, match=f"cannot have output stride {stride}"):
        with_output_stride(VARIANTS[name], stride)


def test_drop_rates_cost_nothing() -> None:
    spec = VARIANTS["timm_xception65"]
    assert cost(with_drop(spec, 0.5, 0.2)) == cost(spec)
