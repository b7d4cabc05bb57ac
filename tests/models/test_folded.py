import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.samples import drawn_tensors
from xception.arch.spec import Block, Norm, Pool, SeparableConv
from xception.arch.variants import architecture
from xception.models.blocks import Projection, ResidualBlock
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


def test_a_folded_shortcut_keeps_its_bias_on_every_device() -> None:
    spec = architecture("timm_xception", num_classes=5, width=0.125)
    network = with_folded_norms(build(spec, drawn_tensors(spec)))
    shortcuts = [
        module for module in network.modules() if isinstance(module, Projection) and module.conv.bias is not None
    ]
    assert len(shortcuts) == 4
    for shortcut in shortcuts:
        assert biased(shortcut, 2, shortcut.conv.in_channels) == [True]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_biased_projection_keeps_its_bias_on_every_device(stride: int) -> None:
    pool = {"pool": Pool(stride=2, padding="same")} if stride == 2 else {}
    unit = SeparableConv(in_channels=4, out_channels=4, before="act")
    spec = Block(flow="middle", units=(unit,), shortcut="conv", **pool)
    projection = ResidualBlock(spec, Norm(epsilon=1e-3, momentum=0.01)).shortcut
    projection.conv = nn.Conv2d(4, 4, 1)
    assert biased(projection, 2, 4) == [True]


class Convolutions(TorchDispatchMode):
    """Notes of each convolution whether it has a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.biased: list[bool] = []

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        if func in (torch.ops.aten.convolution.default, torch.ops.aten.conv2d.default):
            self.biased.append(args[2] is not None)
        return func(*args, **(kwargs or {}))


def biased(module: nn.Module, count: int, channels: int) -> list[bool]:
    """What the convolutions of a module have on a device that is not the CPU."""
    with torch.inference_mode(), Convolutions() as found:
        copy.deepcopy(module).to("meta")(torch.empty(count, channels, 9, 12, device="meta"))
    return found.biased
