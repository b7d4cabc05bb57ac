import errno
import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from tests.test_bundle import room_for
from xception.arch.variants import architecture
from xception.errors import EnvironmentFault, InputError
from xception.models.network import build
from xception.train.checkpoint import (
    NAME,
    Epoch,
    Progress,
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from xception.train.optim import optimizer
from xception.train.recipe import OptimSettings

EPOCH = Epoch(epoch=1, steps=3, lr=0.1, train_loss=1 / 3, validation_loss=None, validation_top1=0.1, seconds=0.5)


def fresh(name: str = "sgd", seed: int = 0, recipe: str = "r", data: str = "d") -> TrainingState:
    torch.manual_seed(seed)
    network = build(architecture("mini_xception", width=0.5)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = OptimSettings(name=name, lr=0.01)  # type: ignore[arg-type]
    return TrainingState(network, optimizer(network, settings), Progress(recipe=recipe, data=data))


def train_steps(state: TrainingState, count: int) -> None:
    state.network.train()
    for _ in range(count):
        generator = torch.Generator().manual_seed(state.progress.step)
        pixels = torch.randn(4, 1, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
        loss = functional.cross_entropy(state.network(pixels), torch.tensor([0, 1, 2, 3]))
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        state.progress.step += 1
        state.progress.loss_sum += loss.item()


def tensors_of(state: TrainingState) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state.network.state_dict().items()}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_resumed_run_continues_bit_by_bit(name: str, tmp_path: Path) -> None:
    whole = fresh(name)
    train_steps(whole, 3)
    whole.progress.history.append(EPOCH)
    save_checkpoint(tmp_path, whole)
    train_steps(whole, 3)

    resumed = fresh(name, seed=9)
    load_checkpoint(tmp_path, resumed)
    assert (resumed.progress.step, resumed.progress.history) == (3, [EPOCH])
    train_steps(resumed, 3)
    assert resumed.progress == whole.progress
    expected = tensors_of(whole)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in tensors_of(resumed).items())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_without_the_optimisers_state_the_run_would_go_elsewhere(name: str, tmp_path: Path) -> None:
    whole = fresh(name)
    train_steps(whole, 3)
    other = fresh(name)
    other.network.load_state_dict(tensors_of(whole))
    other.progress = Progress(recipe="r", data="d", step=3)
    for state in (whole, other):
        train_steps(state, 2)
    expected = tensors_of(whole)
    assert not all(torch.equal(tensor, expected[key]) for key, tensor in tensors_of(other).items())


def test_without_a_checkpoint_the_state_stays_fresh(tmp_path: Path) -> None:
    state = fresh()
    load_checkpoint(tmp_path, state)
    assert state.progress.step == 0


@pytest.mark.parametrize(("change", "message"), [({"recipe": "x"}, "another recipe"), ({"data": "x"}, "another data")])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, change: dict[str, str], message: str) -> None:
    state = fresh()
    train_steps(state, 1)
    save_checkpoint(tmp_path, state)
    other = fresh(seed=5, **change)
    before = tensors_of(other)
    with pytest.raises(InputError, match=f"is of {message}; resume with the same"):
        load_checkpoint(tmp_path, other)
    assert all(torch.equal(tensor, before[key]) for key, tensor in tensors_of(other).items())
    assert other.progress.step == 0


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    save_checkpoint(tmp_path, fresh())
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is broken .*; remove it to start again"):
        load_checkpoint(tmp_path, fresh())


def test_tensors_without_progress_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / NAME)
    with pytest.raises(InputError, match="is broken"):
        load_checkpoint(tmp_path, fresh())


def test_saving_again_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    state = fresh()
    save_checkpoint(tmp_path, state)
    first = (tmp_path / NAME).read_bytes()
    train_steps(state, 1)
    save_checkpoint(tmp_path, state)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() != first


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        state = fresh("adamw")
        train_steps(state, 2)
        save_checkpoint(folder, state)
    assert (tmp_path / "a" / NAME).read_bytes() == (tmp_path / "b" / NAME).read_bytes()


def test_without_room_the_old_checkpoint_stays(tmp_path: Path) -> None:
    state = fresh()
    save_checkpoint(tmp_path, state)
    old = (tmp_path / NAME).read_bytes()
    train_steps(state, 1)
    with room_for(8192), pytest.raises(EnvironmentFault, match="what was there is unchanged"):
        save_checkpoint(tmp_path, state)
    assert (tmp_path / NAME).read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match=r"No space left on device; .*; make room and resume"):
        write_atomically(tmp_path / "file", b"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["none/file", "taken/file"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_atomically(tmp_path / place, b"x")
