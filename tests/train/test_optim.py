import pytest
import torch
from torch.optim import SGD, AdamW, Optimizer

from xception.arch.variants import architecture
from xception.models.network import build
from xception.train.optim import optimizer
from xception.train.recipe import OptimSettings


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adamw", AdamW)])
def test_the_named_optimiser_holds_every_parameter_once(name: str, kind: type[Optimizer]) -> None:
    network = build(architecture("mini_xception", width=0.5))
    made = optimizer(network, OptimSettings(name=name, lr=0.3))  # type: ignore[arg-type]
    assert isinstance(made, kind)
    held = [id(parameter) for group in made.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
    assert {group["lr"] for group in made.param_groups} == {0.3}


def test_kernels_decay_and_norms_and_biases_do_not() -> None:
    network = build(architecture("timm_xception", width=0.05))
    made = optimizer(network, OptimSettings(weight_decay=0.01, momentum=0.8))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decay = {names[id(p)]: group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert decay["stem.0.conv.weight"] == decay["head.classifier.weight"] == 0.01
    assert decay["stem.0.after.norm.weight"] == decay["head.classifier.bias"] == 0
    assert {group["momentum"] for group in made.param_groups} == {0.8}


def test_a_step_shrinks_a_kernel_without_gradient_by_its_decay_alone() -> None:
    network = build(architecture("mini_xception", width=0.5))
    made = optimizer(network, OptimSettings(lr=0.5, weight_decay=0.1, momentum=0))
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    for name, parameter in network.named_parameters():
        factor = 0.95 if parameter.ndim > 1 else 1
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
