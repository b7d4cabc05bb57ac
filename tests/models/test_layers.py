import pytest
import torch
from torch import Tensor

from xception.arch.spec import Norm, Pool, SeparableConv
from xception.models.layers import DropPath, Filling, MaxPool2d, SeparableConv2d, batch_norm

NORM = Norm(epsilon=1e-3, momentum=0.01)
SIZES = [(size, size) for size in range(5, 80)] + [(12, 13), (13, 12), (5, 78), (79, 6)]


def same_pool_by_definition(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's rule, window by window: the padding that makes ceil(size / stride) windows fit, the odd
    pixel of it at the end."""
    rows, columns = (starts(size, stride) for size in x.shape[-2:])
    windows = [[x[..., r.start : r.stop, c.start : c.stop].amax((-2, -1)) for c in columns] for r in rows]
    return torch.stack([torch.stack(row, -1) for row in windows], -2)


def starts(size: int, stride: int) -> list[range]:
    count = -(-size // stride)
    padding = max(0, (count - 1) * stride + 3 - size)
    first = -(padding // 2)
    return [range(max(0, first + i * stride), min(size, first + i * stride + 3)) for i in range(count)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
def test_same_pooling_is_the_rule_window_by_window(size: tuple[int, int], stride: int) -> None:
    x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(sum(size)))
    assert torch.equal(MaxPool2d(Pool(stride=stride, padding="same"))(x), same_pool_by_definition(x, stride))


@pytest.mark.parametrize(("size", "equal"), [(11, True), (12, False)])
def test_same_and_symmetric_pooling_differ_on_even_sizes_only(size: int, equal: bool) -> None:
    x = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    same, symmetric = (MaxPool2d(Pool(stride=2, padding=padding))(x) for padding in ("same", "symmetric"))
    assert torch.equal(same, symmetric) is equal


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", [8, 9])
def test_padding_never_wins_the_maximum(padding: str, size: int) -> None:
    x = torch.full((1, 1, size, size), -5.0)
    assert (MaxPool2d(Pool(stride=2, padding=padding))(x) == -5).all()


@pytest.mark.parametrize(
    ("slot", "children"), [("none", []), ("act", ["act"]), ("norm", ["norm"]), ("norm_act", ["norm", "act"])]
)
def test_a_slot_holds_what_its_name_says(slot: str, children: list[str]) -> None:
    assert [name for name, _ in Filling(slot, 3, NORM).named_children()] == children


def test_an_activation_leaves_its_input_as_it_was() -> None:
    x = torch.tensor([-1.0, 1.0])
    assert Filling("act", 1, NORM)(x).tolist() == [0, 1]
    assert x.tolist() == [-1, 1]


def test_a_norm_has_the_networks_epsilon_and_momentum() -> None:
    norm = batch_norm(4, NORM)
    assert (norm.num_features, norm.eps, norm.momentum) == (4, 1e-3, 0.01)


def test_the_order_of_the_two_convolutions_decides_the_function() -> None:
    torch.manual_seed(0)
    first = SeparableConv2d(SeparableConv(in_channels=4, out_channels=4), NORM).eval()
    last = SeparableConv2d(SeparableConv(in_channels=4, out_channels=4, order="pointwise_first"), NORM).eval()
    last.load_state_dict(first.state_dict())
    x = torch.randn(1, 4, 6, 6)
    assert not torch.allclose(first(x), last(x))
    # One kernel for all channels commutes with any mixing of them.
    for layer in (first, last):
        layer.depthwise.weight.data[:] = layer.depthwise.weight.data[:1]
    assert torch.allclose(first(x), last(x), atol=1e-6)


def test_a_strided_dilated_convolution_has_the_specified_output_size() -> None:
    layer = SeparableConv2d(SeparableConv(in_channels=2, out_channels=6, stride=2, dilation=3), NORM)
    assert layer(torch.zeros(1, 2, 15, 16)).shape == (1, 6, 8, 8)


def test_drop_path_drops_whole_samples_and_rescales_the_others() -> None:
    torch.manual_seed(0)
    out = DropPath(0.25).train()(torch.ones(4000, 2, 3, 3))
    samples = out.flatten(1)
    assert samples.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (samples == samples[:, :1]).all()
    assert samples.mean().item() == pytest.approx(1, abs=0.05)


def test_drop_path_does_nothing_at_inference() -> None:
    x = torch.randn(8, 1, 2, 2)
    assert torch.equal(DropPath(0.9).eval()(x), x)
