from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.samples import drawn_tensors
from xception.arch.compute import output_shapes, tensors
from xception.arch.spec import with_output_stride
from xception.arch.variants import VARIANTS, architecture
from xception.errors import InputError
from xception.models.network import Xception, build

STRIDED = [name for name, row in VARIANTS.items() if not any(block.pool for block in row.blocks)]


def narrow(name: str, **changes: object) -> Xception:
    spec = architecture(name, width=0.05, num_classes=5, **changes)
    return build(spec, drawn_tensors(spec)).eval()


def images(network: Xception, px: int = 64, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, network.spec.in_channels, px, px + 1, generator=generator)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_modules_hold_exactly_the_tensors_of_the_specification(name: str) -> None:
    with torch.device("meta"):
        state = Xception(VARIANTS[name]).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert shapes == tensors(VARIANTS[name])


@pytest.mark.parametrize("name", VARIANTS)
def test_width_channels_and_classes_reach_the_modules(name: str) -> None:
    network = Xception(architecture(name, width=0.05, in_channels=2, num_classes=5))
    logits = network.eval()(torch.zeros(3, 2, 64, 65))
    assert logits.shape == (3, 5)


@pytest.mark.parametrize("name", VARIANTS)
def test_features_come_at_every_stride_in_the_specified_sizes(name: str) -> None:
    network = narrow(name)
    x = images(network)
    maps = network.features(x)
    sizes = output_shapes(network.spec, 64, 65)
    by_stride = {network.spec.stem[0].stride: "stem.1"}
    stride = network.spec.stem[0].stride
    for index, block in enumerate(network.spec.blocks):
        stride *= block.stride
        by_stride[stride] = f"blocks.{index}"
    assert list(maps) == sorted(by_stride)
    for stride, prefix in by_stride.items():
        last = [shape for name, shape in sizes.items() if name.startswith(f"{prefix}.")][-1]
        assert tuple(maps[stride].shape[1:]) == last
    assert torch.equal(maps[network.spec.output_stride], network.feature_map(x))


@pytest.mark.parametrize("name", VARIANTS)
def test_class_maps_average_to_the_logits(name: str) -> None:
    network = narrow(name).double()
    x = images(network).double()
    torch.testing.assert_close(network.class_maps(x).mean((2, 3)), network(x))


@pytest.mark.parametrize("name", STRIDED)
@pytest.mark.parametrize("stride", [8, 16])
def test_a_finer_output_stride_takes_the_same_weights_and_keeps_the_finer_maps(name: str, stride: int) -> None:
    coarse = narrow(name)
    fine = build(with_output_stride(coarse.spec, stride), coarse.tensors()).eval()
    x = images(coarse, px=96)
    assert fine.feature_map(x).shape[2:] == (96 // stride, 96 // stride + 1)
    before, after = coarse.features(x), fine.features(x)
    assert max(after) == stride
    for shared in [key for key in after if key < stride]:
        assert torch.equal(before[shared], after[shared])


def test_dilation_samples_what_the_stride_would_have_sampled() -> None:
    # At output stride 16 every second position of the map equals the map at 32, up to where borders reach.
    coarse = narrow("timm_xception41")
    fine = build(with_output_stride(coarse.spec, 16), coarse.tensors()).eval()
    x = torch.randn(1, 3, 257, 257, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fine.feature_map(x)[..., ::2, ::2], coarse.feature_map(x))


def test_xception71_at_output_stride_8_has_its_projection() -> None:
    network = Xception(architecture("timm_xception71", width=0.05, output_stride=8))
    assert network.blocks[4].shortcut.conv.stride == (1, 1)


@pytest.mark.parametrize("change", [{"drop_rate": 0.5}, {"drop_path_rate": 0.5}])
@pytest.mark.parametrize("name", ["timm_xception", "ppcls_xception41_deeplab", "mini_xception"])
def test_a_drop_rate_changes_training_and_never_inference(name: str, change: dict[str, float]) -> None:
    plain = narrow(name, drop_rate=0.0)
    dropping = build(narrow(name, **{"drop_rate": 0.0, **change}).spec, plain.tensors()).eval()
    x = images(plain, count=8)
    assert torch.equal(plain(x), dropping(x))
    for network in (plain, dropping):
        network.train()
        freeze_statistics(network)
    torch.manual_seed(0)
    assert torch.equal(plain(x), plain(x))
    assert not torch.equal(dropping(x), dropping(x))


def freeze_statistics(network: Xception) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def test_stochastic_depth_grows_from_nothing_to_its_rate() -> None:
    network = Xception(architecture("timm_xception41", width=0.05, drop_path_rate=0.2))
    rates = [block.drop_path.rate for block in network.blocks]
    assert rates == pytest.approx(np.linspace(0, 0.2, 13))


@pytest.mark.parametrize("name", VARIANTS)
def test_training_updates_weights_and_statistics_by_the_norms_momentum(name: str) -> None:
    network = narrow(name, drop_rate=0.0).train()
    norm = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    before = norm.running_mean.clone()
    inputs: list[torch.Tensor] = []
    norm.register_forward_hook(lambda _, args, __: inputs.append(args[0].detach()))
    network(images(network)).sum().backward()
    momentum = network.spec.norm.momentum
    expected = (1 - momentum) * before + momentum * inputs[0].mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected)
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_epsilon_reaches_the_logits() -> None:
    network = narrow("keras_xception")
    other = build(replace(network.spec, norm=replace(network.spec.norm, epsilon=1e-5)), network.tensors()).eval()
    x = images(network)
    assert not torch.allclose(network(x), other(x), rtol=1e-4)


def test_tensors_go_out_as_they_came_in() -> None:
    spec = architecture("timm_xception41p", width=0.05)
    values = drawn_tensors(spec)
    returned = build(spec, values).tensors()
    assert list(returned) == list(tensors(spec))
    assert all(np.array_equal(returned[name], values[name]) for name in values)


def test_tensors_are_copies() -> None:
    network = narrow("mini_xception")
    network.tensors()["head.classifier.bias"][:] = 99
    assert not (network.head.classifier.bias == 99).any()


def test_a_tensor_too_few_too_many_or_of_another_shape_is_named() -> None:
    spec = architecture("mini_xception", width=0.5)
    values = drawn_tensors(spec)
    values["extra"] = values.pop("stem.0.conv.weight")
    values["head.classifier.bias"] = np.zeros(8, np.float32)
    with pytest.raises(InputError, match=r"missing stem\.0\.conv\.weight; not part of it extra; .*bias is \(8,\)"):
        build(spec, values)


def test_two_fresh_networks_of_one_seed_are_equal() -> None:
    spec = architecture("keras_xception", width=0.05)
    torch.manual_seed(3)
    first = build(spec).tensors()
    torch.manual_seed(3)
    second = build(spec).tensors()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_weights_that_are_given_are_not_drawn_before() -> None:
    spec = architecture("timm_xception", num_classes=3, width=0.0625)
    drawn = build(spec)
    before = torch.get_rng_state()
    given = build(spec, drawn.tensors())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, given.state_dict()[name]) for name, value in drawn.state_dict().items())
    build(spec)
    assert not torch.equal(torch.get_rng_state(), before)
