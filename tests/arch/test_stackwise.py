"""Networks of other widths and depths in KerasHub's terms; `tests/convert/test_goldens.py` compares their logits."""

import pytest

from xception.arch.compute import tensors
from xception.arch.stackwise import Stackwise, with_stackwise
from xception.arch.variants import VARIANTS, architecture
from xception.errors import UsageError

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


@pytest.mark.parametrize(
    ("stackwise", "message"),
    [
        (small((8,), pooling=(False,)), "at least a stem and a tail"),
        (small((8,), (16,), pooling=(False,)), "2 lists of widths and 1 of pooling"),
        (small((8,), (), (16,), pooling=(False, False, False)), "no empty block"),
        (small((8,), (0,), pooling=(False, False)), "a width below 1"),
        (small((8,), (16,), pooling=(True, False)), "the stem or the tail pools"),
        (small((8,), (16,), pooling=(False, True)), "the stem or the tail pools"),
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
