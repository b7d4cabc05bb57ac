import subprocess
import sys
from dataclasses import replace

import torch

from xception.arch.spec import Block, Head, Norm, Pool, SeparableConv
from xception.models.blocks import ClassifierHead, ResidualBlock

NORM = Norm(epsilon=1e-3, momentum=0.01)
UNIT = SeparableConv(in_channels=4, out_channels=4, before="act")
IDENTITY = Block(flow="middle", units=(UNIT, UNIT), shortcut="identity")


def test_an_identity_shortcut_adds_the_raw_input() -> None:
    block = ResidualBlock(IDENTITY, NORM).eval()
    for unit in block.units:
        torch.nn.init.zeros_(unit.pointwise.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_a_block_without_shortcut_adds_nothing() -> None:
    block = ResidualBlock(replace(IDENTITY, shortcut="none"), NORM).eval()
    for unit in block.units:
        torch.nn.init.zeros_(unit.pointwise.weight)
    assert not block(torch.randn(2, 4, 5, 5)).any()


def test_a_projection_takes_the_stride_of_the_pool() -> None:
    spec = replace(IDENTITY, shortcut="conv_norm", pool=Pool(stride=2, padding="same"))
    assert ResidualBlock(spec, NORM)(torch.randn(2, 4, 9, 12)).shape == (2, 4, 5, 6)


def test_the_gradient_of_a_projection_stays_in_channels_last_memory() -> None:
    spec = replace(IDENTITY, shortcut="conv_norm", pool=Pool(stride=2, padding="same"))
    projection = ResidualBlock(spec, NORM).shortcut.to(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 9, 12).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(projection(x).square().sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_a_projection_keeps_every_other_pixel_as_it_is() -> None:
    spec = replace(IDENTITY, shortcut="conv", pool=Pool(stride=2, padding="same"))
    projection = ResidualBlock(spec, NORM).shortcut
    torch.nn.init.dirac_(projection.conv.weight)
    x = torch.randn(2, 4, 9, 12)
    assert torch.equal(projection(x), x[:, :, ::2, ::2])


def test_dropping_the_path_leaves_the_shortcut() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(IDENTITY, NORM, drop_path_rate=0.5).train()
    x = torch.randn(16, 4, 5, 5)
    kept_as_is = (block(x) == x).flatten(1).all(1)
    assert 0 < kept_as_is.sum() < 16


def test_class_maps_average_to_the_logits_for_both_kinds_of_head() -> None:
    x = torch.randn(2, 8, 5, 4)
    for kind in ("dense", "conv"):
        head = ClassifierHead(Head(kind=kind, in_channels=8, num_classes=3, feature_scale=0.5)).eval()
        assert head.class_maps(x).shape == (2, 3, 5, 4)
        assert torch.allclose(head.class_maps(x).mean((2, 3)), head(x), atol=1e-6)


def test_the_feature_scale_reaches_the_logits() -> None:
    whole = ClassifierHead(Head(kind="dense", in_channels=8, num_classes=3))
    half = ClassifierHead(Head(kind="dense", in_channels=8, num_classes=3, feature_scale=0.5))
    half.load_state_dict(whole.state_dict())
    x = torch.randn(2, 8, 5, 4)
    assert torch.allclose(half(2 * x), whole(x), atol=1e-6)
    assert not torch.allclose(half(x), whole(x))


ODD_BATCH = """
import torch
from xception.arch.variants import architecture
from xception.models.network import build
torch.set_num_threads(2)
network = build(architecture("mini_xception")).train().to(memory_format=torch.channels_last)
pixels = torch.randn(23, 1, 48, 48).contiguous(memory_format=torch.channels_last)
for _ in range(3):
    network(pixels).square().mean().backward()
"""


def test_an_odd_batch_in_channels_last_memory_trains() -> None:
    # In a process of its own: what this guards against is memory that oneDNN corrupts, which ends the interpreter.
    result = subprocess.run([sys.executable, "-c", ODD_BATCH], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_strided_projection_is_the_strided_convolution() -> None:
    spec = replace(IDENTITY, shortcut="conv", pool=Pool(stride=2, padding="symmetric"))
    projection = ResidualBlock(spec, NORM).shortcut
    for size in ((9, 12), (8, 7)):
        x = torch.randn(2, 4, *size)
        torch.testing.assert_close(projection(x), torch.nn.functional.conv2d(x, projection.conv.weight, stride=2))
