from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.train.samples import stop_at
from xception.arch.variants import architecture
from xception.models.network import Xception, build
from xception.train.freezing import set_learning
from xception.train.recipe import Recipe
from xception.train.settings import FreezeSettings
from xception.train.trainer import train_network

STAGED = FreezeSettings(entry_until=3, middle_until=2, exit_until=1)


@pytest.fixture
def network() -> Xception:
    return build(architecture("timm_xception", width=0.05))


def learning(network: Xception) -> set[str]:
    flows = {f"blocks.{index}": block.flow for index, block in enumerate(network.spec.blocks)}
    parts = {".".join(name.split(".")[:2]) for name, value in network.named_parameters() if value.requires_grad}
    return {flows.get(part, part.split(".")[0]) for part in parts}


def test_flows_begin_to_learn_epoch_by_epoch_from_the_head_down(network: Xception) -> None:
    expected = [{"head"}, {"head", "exit"}, {"head", "exit", "middle"}, {"head", "exit", "middle", "entry", "stem"}]
    for epoch, parts in enumerate(expected):
        set_learning(network, STAGED, epoch)
        assert learning(network) == parts
    set_learning(network, FreezeSettings(), 0)
    assert learning(network) == expected[-1]
    assert all(module.training for module in network.modules())


def test_what_does_not_learn_is_the_function_that_it_was(network: Xception) -> None:
    pixels = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        set_learning(network, STAGED, 0)
        frozen = network.feature_map(pixels)
        assert torch.equal(frozen, network.eval().feature_map(pixels))
        set_learning(network, STAGED, 3)
        assert not torch.equal(frozen, network.feature_map(pixels))


def test_statistics_can_stay_as_they_are_while_all_else_learns(network: Xception) -> None:
    before = network.tensors()
    set_learning(network, FreezeSettings(norm_statistics=True), 0)
    network(torch.randn(4, 3, 64, 64)).sum().backward()
    assert all(np.array_equal(value, before[name]) for name, value in network.tensors().items())
    assert all(parameter.grad is not None for parameter in network.parameters())
    set_learning(network, FreezeSettings(), 0)
    network(torch.randn(4, 3, 64, 64))
    assert any(not np.array_equal(value, before[name]) for name, value in network.tensors().items())


def test_a_staged_run_changes_what_learns_and_resumes_to_the_same_bits(recipe: Recipe, tmp_path: Path) -> None:
    staged = msgspec.structs.replace(recipe, freeze=FreezeSettings(entry_until=2, middle_until=1))
    with pytest.raises(KeyboardInterrupt):
        train_network(staged, tmp_path / "cut", on_step=stop_at(7))
    resumed = train_network(staged, tmp_path / "cut", resume=True)
    whole = train_network(staged, tmp_path / "whole")
    assert resumed.main_file.read_bytes() == whole.main_file.read_bytes()
    frozen = msgspec.structs.replace(recipe, freeze=FreezeSettings(entry_until=3))
    assert train_network(frozen, tmp_path / "frozen").main_file.read_bytes() != whole.main_file.read_bytes()
