"""Networks of other widths and depths in KerasHub's terms; `tests/convert/test_goldens.py` compares their logits."""

import pytest

from xception.arch.compute import tensors
from xception.arch.graph import MaxPool, unfold
from xception.arch.stackwise import Stackwise, with_stackwise
from xception.arch.variants import VARIANTS, architecture
from xception.errors import UsageError
from xception.models.network import build

CHOLLET = VARIANTS["keras_xception"]
PUBLISHED = Stackwise(
    filters=((32, 64), (128, 128), (256, 256), (728, 728), *((728, 728, 728),) * 8, (728, 1024), (1536, 2048)),
    pooling=(False, True, True, True, *(False,) * 8, True, False),
)


def small(*filters: tuple[int, ...], pooling: tuple[bool, ...]) -> Stackwise:
    return Stackwise(filters=filters, pooling=pooling)


def test_the_published_widths_make_the_published_network() -> None:
    assert with_stackwise(CHOLLET, PUBLISHED) == CHOLLET


def test_one_other_width_makes_another() -> None:
    filters = ((32, 64), (128, 129), *PUBLISHED.filters[2:])
    assert with_stackwise(CHOLLET, Stackwise(filters=filters, pooling=PUBLISHED.pooling)) != CHOLLET


def test_any_number_of_convolutions_stands_in_stem_block_and_tail() -> None:
    spec = with_stackwise(
        CHOLLET, small((8, 8, 16), (24, 24), (24,), (32, 32, 32, 48), (40,), pooling=(False, True, False, True, False))
    )
    assert [conv.stride for conv in spec.stem] == [2, 1, 1]
    assert [len(block.units) for block in spec.blocks] == [2, 1, 4, 1]
    assert [block.flow for block in spec.blocks] == ["entry", "middle", "exit", "exit"]
    assert [block.shortcut for block in spec.blocks] == ["conv_norm", "identity", "conv_norm", "none"]
    assert spec.output_stride == 8
    assert tensors(spec)["head.classifier.weight"] == (1000, 40)


def test_a_stem_and_a_tail_are_enough() -> None:
    spec = with_stackwise(CHOLLET, small((8,), (16, 16), pooling=(False, False)))
    assert [block.flow for block in spec.blocks] == ["exit"]


def test_the_example_of_the_source_pools_in_its_stem() -> None:
    spec = with_stackwise(CHOLLET, small((32, 64), (64, 128), (256, 256), pooling=(True, True, False)))
    assert (spec.stem_stride, spec.output_stride) == (4, 8)
    pools = [node for node in unfold(spec) if isinstance(node, MaxPool)]
    assert [(node.name, node.source) for node in pools] == [
        ("stem.1.pool", "stem.1.after.act"),
        ("blocks.0.pool", "blocks.0.units.1.after.norm"),
    ]
    assert build(spec).feature_channels == {4: 64, 8: 256}


def test_a_tail_may_pool() -> None:
    spec = with_stackwise(CHOLLET, small((8,), (16,), pooling=(False, True)))
    assert spec.output_stride == 4
    assert next(node for node in unfold(spec) if isinstance(node, MaxPool)).source == "blocks.0.units.0.after.act"


@pytest.mark.parametrize(
    ("stackwise", "message"),
    [
        (small((8,), pooling=(False,)), "at least a stem and a tail"),
        (small((8,), (16,), pooling=(False,)), "2 lists of widths and 1 of pooling"),
        (small((8,), (), (16,), pooling=(False, False, False)), "no empty block"),
        (small((8,), (0,), pooling=(False, False)), "a width below 1"),
        (small((8,), (8,), (16,), pooling=(False, True, False)), "block 2 pools and keeps its width"),
        (small((8,), (9,), (16,), pooling=(False, False, False)), "block 2 does not pool and changes its width"),
    ],
)
def test_lists_that_make_no_network_are_refused(stackwise: Stackwise, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_stackwise(CHOLLET, stackwise)


def test_another_design_has_no_such_widths() -> None:
    with pytest.raises(UsageError, match="timm_xception41 cannot have widths by block"):
        architecture("timm_xception41", stackwise=PUBLISHED)
