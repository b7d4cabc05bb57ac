"""zeromodels gives each of the two convolutions of a separable one a layer of its own."""

import pytest

from xception.arch.variants import VARIANTS
from xception.convert.naming.schemes import NAMING_SCHEMES

ZEROMODELS = NAMING_SCHEMES["zeromodels"]


@pytest.mark.parametrize(
    ("variant", "tensors"),
    [
        ("timm_xception41", 422),
        ("timm_xception41p", 246),
        ("timm_xception65", 662),
        ("timm_xception65p", 390),
        ("timm_xception71", 732),
    ],
)
def test_every_network_has_as_many_tensors_as_the_packages_own(variant: str, tensors: int) -> None:
    names = {there.name for there in ZEROMODELS.tensor_names(VARIANTS[variant]).values()}
    assert len(names) == tensors


def test_depthwise_kernels_have_keras_order_of_axes_and_no_name_of_their_own() -> None:
    there = ZEROMODELS.tensor_names(VARIANTS["timm_xception41"])["blocks.0.units.0.depthwise.weight"]
    assert there.name == "block_0_stack_conv1_dwconv/kernel"
    assert there.layout.upstream_shape((64, 1, 3, 3)) == (3, 3, 64, 1)
