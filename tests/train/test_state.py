import pytest
import torch

from tests.train.samples import EPOCH, equal, fresh, tensors_of, train_steps
from xception.errors import InputError
from xception.train.checkpoint import encode, restore
from xception.train.state import TrainingState


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_a_restored_run_continues_bit_by_bit(name: str) -> None:
    whole = fresh(name)
    train_steps(whole, 3)
    whole.progress.history.append(EPOCH)
    content = encode(whole)
    train_steps(whole, 3)

    resumed = fresh(name, seed=9)
    restore(resumed, content, "file")
    assert (resumed.progress.step, resumed.progress.history) == (3, [EPOCH])
    train_steps(resumed, 3)
    assert resumed.progress == whole.progress
    assert equal(tensors_of(resumed), tensors_of(whole))


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_without_the_optimisers_state_the_run_would_go_elsewhere(name: str) -> None:
    whole, other = fresh(name), fresh(name)
    train_steps(whole, 3)
    other.network.load_state_dict(tensors_of(whole))
    other.progress.step = 3
    for state in (whole, other):
        train_steps(state, 2)
    assert not equal(tensors_of(other), tensors_of(whole))


def test_equal_states_give_equal_bytes() -> None:
    first, second = fresh("adamw"), fresh("adamw")
    for state in (first, second):
        train_steps(state, 2)
    assert encode(first) == encode(second)
    train_steps(second, 1)
    assert encode(first) != encode(second)


def test_the_average_of_the_weights_comes_back_and_is_what_is_judged() -> None:
    state, other = with_average(1), with_average(2)
    train_steps(state, 1)
    restore(other, encode(state), "file")
    assert other.average is not None
    assert other.published is other.average
    assert equal(other.average.state_dict(), with_average(1).published.state_dict())
    assert not equal(other.average.state_dict(), tensors_of(other))
    assert fresh().average is None


def with_average(seed: int) -> TrainingState:
    state = fresh()
    state.average = fresh(seed=seed).network
    return state


def test_the_scale_of_the_loss_comes_back() -> None:
    state, other = fresh(), fresh()
    state.scaler, other.scaler = (torch.amp.GradScaler("cpu", init_scale=scale) for scale in (8.0, 2.0))
    restore(other, encode(state), "file")
    assert other.scaler.get_scale() == 8.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "x"}, "is of another recipe; resume with the same"),
        ({"data": "x"}, "is of another data; resume with the same"),
        ({"classes": 5}, "is of data with 7 classes, these have 5"),
    ],
)
def test_the_state_of_another_run_is_refused_untouched(change: dict[str, str], message: str) -> None:
    state = fresh()
    train_steps(state, 1)
    other = fresh(seed=5, **change)
    before = tensors_of(other)
    with pytest.raises(InputError, match=f"checkpoint file {message}"):
        restore(other, encode(state), "file")
    assert equal(tensors_of(other), before)
    assert other.progress.step == 0


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_part_of_a_state_is_refused(share: float) -> None:
    content = encode(fresh())
    with pytest.raises(InputError, match=r"checkpoint file is broken .*; remove it to start again"):
        restore(fresh(), content[: int(len(content) * share)], "file")


def test_tensors_without_progress_are_refused() -> None:
    from safetensors.torch import save

    with pytest.raises(InputError, match="is broken"):
        restore(fresh(), save({"a": torch.zeros(1)}), "file")
