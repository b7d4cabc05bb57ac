import numpy as np
import pytest
import torch
from torch import nn

from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.models.folded import with_folded_norms
from xception.models.network import build

VARIANTS = ("timm_xception", "timm_xception65p", "mini_xception", "keras_xception")


@pytest.mark.parametrize("variant", VARIANTS)
def test_folded_norms_leave_the_logits_as_they_were(variant: str) -> None:
    spec = architecture(variant, num_classes=5, width=0.125)
    network = build(spec, drawn_tensors(spec)).eval()
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, spec.in_channels, 64, 64)).astype(np.float32))
    quick = with_folded_norms(network)
    norms = [sum(isinstance(one, nn.BatchNorm2d) for one in net.modules()) for net in (network, quick)]
    assert norms[1] < norms[0] / 2
    with torch.inference_mode():
        truth = network(images)
        assert float((quick(images) - truth).abs().max() / truth.abs().max()) < 1e-5


def test_the_network_itself_keeps_its_norms_and_its_mode() -> None:
    network = build(architecture("mini_xception", num_classes=5))
    with_folded_norms(network)
    assert network.training
    assert any(isinstance(one, nn.BatchNorm2d) for one in network.modules())
