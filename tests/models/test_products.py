import numpy as np
import pytest
import torch

from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.models.folded import with_folded_norms
from xception.models.network import build
from xception.models.products import Pointwise, with_products


@pytest.mark.parametrize("variant", ["timm_xception", "timm_xception65p", "keras_xception", "timm_xception41"])
def test_products_leave_the_logits_as_they_were(variant: str) -> None:
    spec = architecture(variant, num_classes=5, width=0.125)
    usual = with_folded_norms(build(spec, drawn_tensors(spec)))
    quick = with_products(usual)
    products = [module for module in quick.modules() if isinstance(module, Pointwise)]
    assert len(products) > 30
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32))
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        truth = usual(images)
        assert float((quick(images) - truth).abs().max() / truth.abs().max()) < 1e-5


def test_activations_between_units_are_part_of_the_products() -> None:
    spec = architecture("timm_xception", num_classes=5, width=0.125)
    quick = with_products(with_folded_norms(build(spec, drawn_tensors(spec))))
    products = [module for module in quick.modules() if isinstance(module, Pointwise)]
    # The last unit of a block is followed by a sum.
    assert sum(one.relu for one in products) == sum(len(block.units) - 1 for block in spec.blocks) + 1


def test_products_are_compiled_as_they_are() -> None:
    spec = architecture("timm_xception", num_classes=5, width=0.0625)
    usual = with_folded_norms(build(spec, drawn_tensors(spec)))
    images = torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(with_products(usual), backend="aot_eager", fullgraph=True)
    with torch.inference_mode():
        truth = usual(images)
        assert float((compiled(images) - truth).abs().max() / truth.abs().max()) < 1e-5
