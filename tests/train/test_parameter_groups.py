from collections import Counter

import pytest
import torch

from tests.train.samples import values_by_tensor
from xception.arch.variants import architecture
from xception.models.network import Xception, build
from xception.train.batches import steps_per_epoch
from xception.train.parameter_groups import depth, make_optimizer, peak_rate, scaled, scaling_remark, set_rate
from xception.train.recipe import load_recipe
from xception.train.settings import OptimSettings


@pytest.fixture
def network() -> Xception:
    return build(architecture("mini_xception", width=0.5))


def test_decay_reaches_what_the_settings_say() -> None:
    network = build(architecture("timm_xception", width=0.05))
    names = ("stem.0.conv.weight", "head.classifier.weight", "stem.0.after.norm.weight", "head.classifier.bias")
    expected = {"kernels": (0.01, 0.01, 0, 0), "all": (0.01,) * 4, "stem": (0.01, 0, 0, 0)}
    for decay_on, values in expected.items():
        settings = OptimSettings(weight_decay=0.01, momentum=0.8, decay_on=decay_on)
        made = make_optimizer(network, settings)
        decay = values_by_tensor(network, made, "weight_decay")
        assert tuple(decay[name] for name in names) == values
        assert {group["momentum"] for group in made.param_groups} == {0.8}


def test_a_step_shrinks_a_kernel_without_gradient_by_its_decay_alone(network: Xception) -> None:
    made = make_optimizer(network, OptimSettings(lr=0.5, weight_decay=0.1, momentum=0))
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    for name, parameter in network.named_parameters():
        factor = 0.95 if parameter.ndim > 1 else 1
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_layers_learn_the_more_slowly_the_nearer_they_are_to_the_input(network: Xception) -> None:
    last = len(network.blocks) + 1
    made = make_optimizer(network, OptimSettings(layer_decay=0.5))
    set_rate(made, 0.8)
    rates = values_by_tensor(network, made, "lr")
    assert rates["head.classifier.weight"] == 0.8
    assert rates["stem.0.conv.weight"] == 0.8 * 0.5**last
    assert {rates[name] for name in rates if name.startswith("blocks.1.")} == {0.8 * 0.5 ** (last - 2)}
    assert [depth(network, name) for name in ("stem.1.conv.weight", "blocks.0.a.b", "head.classifier.bias")] == [
        0,
        1,
        last,
    ]


def test_the_head_learns_at_a_multiple_of_its_rate(network: Xception) -> None:
    made = make_optimizer(network, OptimSettings(layer_decay=0.5, head_scale=0.1))
    set_rate(made, 0.8)
    rates = values_by_tensor(network, made, "lr")
    assert {rates[name] for name in rates if name.startswith("head.")} == {0.8 * 0.1}
    assert rates["stem.0.conv.weight"] == 0.8 * 0.5 ** (len(network.blocks) + 1)


def test_the_rate_grows_with_the_step_only_where_that_is_asked() -> None:
    assert peak_rate(OptimSettings(lr=0.4, lr_per=1024), 256) == 0.1
    assert peak_rate(OptimSettings(lr=0.4), 256) == 0.4


def test_a_scaled_rate_is_told() -> None:
    assert scaling_remark(OptimSettings(lr=0.4, lr_per=1024), 256) == (
        "optim.lr 0.4 is for steps of 1024 images; with 256 the peak rate is 0.1"
    )
    assert scaling_remark(OptimSettings(lr=0.4, lr_per=256), 256) is None
    assert scaling_remark(OptimSettings(lr=0.4), 256) is None


def decayed(name: str) -> Counter[str]:
    """Tensors of a recipe's network that decay, by their kind."""
    recipe = load_recipe(name)
    network = build(architecture(recipe.model.variant))
    names = {id(parameter): key for key, parameter in network.named_parameters()}
    groups = make_optimizer(network, recipe.optim).param_groups
    chosen = [names[id(parameter)] for group in groups if group["weight_decay"] for parameter in group["params"]]
    return Counter("norm" if ".norm." in key else "bias" if key.endswith("bias") else "kernel" for key in chosen)


@pytest.mark.parametrize(
    ("name", "kinds", "images", "steps"),
    [
        # mindspore.nn.Momentum decays all but `beta` and `gamma`; the data set drops the remainder: its log says 1251.
        ("mindspore_zoo", {"kernel": 75, "bias": 1}, 1_281_167, 1251),
        # The configuration's filter is "disable", so that all decay; drop_remainder is True: 5004.
        ("mindcv", {"kernel": 75, "norm": 80, "bias": 1}, 1_281_167, 5004),
        # Paddle's L2Decay goes to all parameters; drop_last is False.
        ("ppcls_xception41", {"kernel": 75, "norm": 140, "bias": 1}, 1_281_167, 5005),
        ("ppcls_xception65", {"kernel": 123, "norm": 236, "bias": 1}, 1_281_167, 5005),
        ("ppcls_xception71", {"kernel": 133, "norm": 252, "bias": 1}, 1_281_167, 10_010),
        # l2(0.01) stands at the two convolutions of the base only; steps_per_epoch is 0.8 of 35,887 faces over 32.
        ("mini_xception", {"kernel": 2}, 28_709, 898),
    ],
)
def test_a_recipe_decays_and_counts_steps_as_its_source(
    name: str, kinds: dict[str, int], images: int, steps: int
) -> None:
    recipe = load_recipe(name)
    assert decayed(name) == kinds
    assert steps_per_epoch(images, recipe.batch_size, drop_last=recipe.drop_last) == steps


def test_the_schedules_own_rates_are_scaled_with_the_peak() -> None:
    settings = load_recipe("modern")
    small = scaled(settings.schedule, settings.optim, 4)
    assert small.end_lr == pytest.approx(settings.schedule.end_lr * 4 / 1024)
    assert small.warmup_from == pytest.approx(1e-6 * 4 / 1024)
    assert scaled(settings.schedule, settings.optim, 1024) == settings.schedule
