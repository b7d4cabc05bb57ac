"""Every network equals its source's: logits of the sources' own code, run at full width on seeded tensors."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from parity import goldens, seeded
from parity.cases import CASES
from parity.ours import logits, relative_difference, seeded_tensors
from tests.support.lanes import slow_unless
from xception.arch.spec import Architecture, Block, Norm, Pool, Pooling, SeparableConv
from xception.arch.variants import UNVERIFIED, VARIANTS, architecture
from xception.models.network import build

TOLERANCE = 1e-5
"""Relative, in float32: these depths differ by less than 1e-6 between frameworks."""


BY_NAME = {case.golden: case for case in CASES if case.golden_px}
RELATIVES = [name for name, case in BY_NAME.items() if case.scheme or case.model_args]
"""Ports of published networks, by source and variant, and networks as timm builds them with other arguments."""


@lru_cache(maxsize=1)
def tensors_of(name: str) -> dict[str, np.ndarray]:
    return seeded_tensors(BY_NAME[name].spec, BY_NAME[name].scheme)


def difference(name: str, spec: Architecture, px: int) -> float:
    theirs = goldens.read(name)[px]
    ours = logits(build(spec, tensors_of(name)), seeded.pixels(px, spec.in_channels, len(theirs)))
    return relative_difference(ours[:, : theirs.shape[1]], theirs)


def test_every_variant_has_a_golden_or_is_marked_unverified() -> None:
    assert {name for name in VARIANTS if (goldens.FOLDER / f"{name}.json").is_file()} == VARIANTS.keys() - UNVERIFIED


def is_shallow(name: str) -> bool:
    """True but for the networks of 65 and 71 layers, which take the longest and have the blocks of the others."""
    return "65" not in name and "71" not in name


@pytest.mark.parametrize("variant", slow_unless(is_shallow, sorted(VARIANTS.keys() - UNVERIFIED)))
def test_logits_equal_those_of_the_source_at_odd_and_even_sizes(variant: str) -> None:
    sizes = goldens.read(variant)
    assert {px % 2 for px in sizes} == {0, 1}
    for px in sizes:
        assert difference(variant, VARIANTS[variant], px) <= TOLERANCE


@pytest.mark.parametrize("name", slow_unless(is_shallow, RELATIVES))
def test_logits_equal_those_of_a_port_at_odd_and_even_sizes(name: str) -> None:
    sizes = goldens.read(name)
    assert {px % 2 for px in sizes} == {0, 1}
    for px in sizes:
        assert difference(name, BY_NAME[name].spec, px) <= TOLERANCE


Change = Callable[[Architecture], Architecture]


def epsilon(value: float) -> Change:
    return lambda spec: replace(spec, norm=Norm(epsilon=value, momentum=spec.norm.momentum))


def blocks(change: Callable[[Block], Block]) -> Change:
    return lambda spec: replace(spec, blocks=tuple(map(change, spec.blocks)))


def tail(**changes: object) -> Change:
    """Change the units behind the last sum."""
    return lambda spec: replace(
        spec,
        blocks=(*spec.blocks[:-1], units(spec.blocks[-1], lambda unit: replace(unit, **changes))),
    )


def units(block: Block, change: Callable[[SeparableConv], SeparableConv]) -> Block:
    return replace(block, units=tuple(map(change, block.units)))


def pools(padding: str) -> Change:
    return blocks(lambda block: replace(block, pool=block.pool and Pool(stride=block.pool.stride, padding=padding)))


def without_pools_of_stride_1(block: Block) -> Block:
    return replace(block, pool=block.pool if block.pool and block.pool.stride == 2 else None)


def in_the_other_order(block: Block) -> Block:
    return units(block, lambda unit: replace(unit, order="depthwise_first")) if block.flow == "middle" else block


def tail_led_by(slot: str) -> Change:
    return lambda spec: replace(spec, blocks=(*spec.blocks[:-1], replace(spec.blocks[-1], before=slot)))


def padded_stem(padding: int) -> Change:
    return lambda spec: replace(spec, stem=tuple(replace(conv, padding=padding) for conv in spec.stem))


def with_raw_second_shortcut(spec: Architecture) -> Architecture:
    first, second, *rest = spec.blocks
    second = replace(second, before="none", units=(replace(second.units[0], before="act"), *second.units[1:]))
    return replace(spec, blocks=(first, second, *rest))


def unscaled(spec: Architecture) -> Architecture:
    return replace(spec, head=replace(spec.head, feature_scale=1.0))


def pooled_at_the_end(spec: Architecture) -> Architecture:
    *rest, last = spec.blocks
    return replace(spec, blocks=(*rest, replace(last, pool=Pool(stride=2, padding="same"))))


def led_by_activations(block: Block) -> Block:
    return replace(block, units=(replace(block.units[0], before="act"), *block.units[1:]))


def pooled_by(pooling: Pooling) -> Change:
    return lambda spec: replace(spec, head=replace(spec.head, pooling=pooling))


def at_stride(output_stride: int) -> Change:
    """Take the blocks of another output stride; the tensors are the same."""
    return lambda spec: replace(spec, blocks=architecture(spec.name, output_stride=output_stride).blocks)


FAULTS: tuple[tuple[str, int, str, Change], ...] = (
    ("timm_xception", 97, "Keras' epsilon", epsilon(1e-3)),
    ("timm_xception", 97, "TensorFlow's pooling", pools("same")),
    ("keras_xception", 97, "torch's epsilon", epsilon(1e-5)),
    ("keras_xception", 97, "torch's pooling", pools("symmetric")),
    ("mindcv_xception", 97, "Keras' epsilon", epsilon(1e-3)),
    ("mindcv_xception", 97, "torch's pooling", pools("symmetric")),
    ("timm_xception41", 97, "torch's epsilon", epsilon(1e-5)),
    ("timm_xception41", 97, "no activation inside the tail", tail(between="norm")),
    ("timm_xception41", 97, "an activation before the tail", tail_led_by("act")),
    ("timm_xception41", 97, "a dilated tail", tail(dilation=2)),
    ("timm_xception41", 97, "an unpadded stem", padded_stem(0)),
    ("timm_xception41p", 97, "xception65p's epsilon", epsilon(1e-3)),
    ("gluon_xception65", 97, "timm's epsilon", epsilon(1e-3)),
    ("gluon_xception65", 97, "no activation before the tail", tail_led_by("none")),
    ("gluon_xception65", 97, "an activation inside the tail", tail(between="norm_act")),
    ("gluon_xception65", 97, "a raw shortcut around block 2", with_raw_second_shortcut),
    ("ppcls_xception41", 97, "the other order of convolutions", blocks(in_the_other_order)),
    ("ppcls_xception71", 97, "no pools of stride 1", blocks(without_pools_of_stride_1)),
    ("ppcls_xception71", 128, "TensorFlow's pooling", pools("same")),
    ("ppcls_xception41_deeplab", 97, "a tail without dilation", tail(dilation=1)),
    ("ppcls_xception41_deeplab", 97, "features that are not halved", unscaled),
    ("ppcls_xception41_deeplab", 97, "no activation inside the tail", tail(between="norm")),
    ("keras_hub.keras_xception", 97, "torch's epsilon", epsilon(1e-5)),
    ("keras_hub.keras_xception", 128, "torch's pooling", pools("symmetric")),
    ("keras_hub.stackwise", 64, "torch's pooling", pools("symmetric")),
    ("zeromodels.timm_xception41", 97, "torch's epsilon", epsilon(1e-5)),
    ("zeromodels.timm_xception41", 97, "an unpadded stem", padded_stem(0)),
    ("zeromodels.timm_xception41p", 97, "the epsilon of zeromodels' code instead of its configuration", epsilon(1e-3)),
    ("zeromodels.timm_xception65", 97, "torch's epsilon", epsilon(1e-5)),
    ("zeromodels.timm_xception65p", 97, "xception41p's epsilon", epsilon(1e-5)),
    ("zeromodels.timm_xception71", 97, "torch's epsilon", epsilon(1e-5)),
    ("model_args.timm_xception41", 97, "the pooling that is not stated", pooled_by("avg")),
    ("model_args.timm_xception41", 97, "the output stride that is not stated", at_stride(32)),
    ("model_args.timm_xception41p", 128, "the mean of both poolings", pooled_by("avgmax")),
    ("model_args.timm_xception41p", 128, "a finer output stride", at_stride(8)),
    ("mini_xception", 64, "torch's pooling", pools("symmetric")),
    ("mini_xception", 64, "torch's epsilon", epsilon(1e-5)),
    ("mini_xception", 64, "leading activations", blocks(led_by_activations)),
    ("mini48_xception", 48, "torch's pooling", pools("symmetric")),
    ("mini48_xception", 48, "a last block that pools, as in the 64-px network", pooled_at_the_end),
)


@pytest.mark.parametrize(
    ("variant", "px", "fault", "change"),
    slow_unless(lambda row: is_shallow(row[0]), FAULTS),
    ids=[f"{row[0]}: {row[2]}" for row in FAULTS],
)
def test_a_fault_shows_a_hundredfold(variant: str, px: int, fault: str, change: Change) -> None:
    assert difference(variant, change(BY_NAME[variant].spec), px) > 100 * TOLERANCE


def test_maxima_in_front_of_the_averages_show() -> None:
    name = "model_args.timm_xception"
    values, theirs = dict(tensors_of(name)), goldens.read(name)[97]
    weight = values["head.classifier.weight"]
    values["head.classifier.weight"] = np.roll(weight, weight.shape[1] // 2, axis=1)
    ours = logits(build(BY_NAME[name].spec, values), seeded.pixels(97, 1))
    assert relative_difference(ours, theirs) > 100 * TOLERANCE


def test_the_two_norms_of_kerashubs_block_13_that_no_shape_tells_apart_show_when_swapped() -> None:
    values = dict(tensors_of("keras_hub.keras_xception"))
    one, other = "blocks.11.units.1.after.norm.weight", "blocks.11.shortcut.norm.weight"
    assert values[one].shape == values[other].shape
    values[one], values[other] = values[other], values[one]
    theirs = goldens.read("keras_hub.keras_xception")[97]
    ours = logits(build(VARIANTS["keras_xception"], values), seeded.pixels(97))
    assert relative_difference(ours[:, : theirs.shape[1]], theirs) > 100 * TOLERANCE


@pytest.mark.parametrize("leaf", ["norm.bias", "norm.running_mean", "norm.running_var", "norm.weight"])
def test_two_equally_shaped_norms_that_are_swapped_show(leaf: str) -> None:
    values = dict(tensors_of("mini_xception"))
    one, other = (f"blocks.3.units.{unit}.after.{leaf}" for unit in (0, 1))
    values[one], values[other] = values[other], values[one]
    spec = VARIANTS["mini_xception"]
    ours = logits(build(spec, values), seeded.pixels(64, 1))
    assert relative_difference(ours, goldens.read("mini_xception")[64]) > 100 * TOLERANCE
