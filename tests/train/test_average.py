import numpy as np
import pytest
import torch

from tests.train.samples import fresh, train_steps
from xception.train.average import average_decay, copy_as_average, update_average
from xception.train.settings import AverageSettings


@pytest.mark.parametrize("settings", [AverageSettings(decay=0.7, warmup=False), AverageSettings(decay=0.4)])
def test_the_average_is_the_weighted_sum_of_all_weights_so_far(settings: AverageSettings) -> None:
    state = fresh()
    average = copy_as_average(state.network)
    expected = {name: value.astype(np.float64) for name, value in state.network.tensors().items()}
    for step in range(5):
        train_steps(state, 1)
        update_average(average, state.network, settings, step)
        kept = min(settings.decay, (1 + step) / (10 + step)) if settings.warmup else settings.decay
        current = state.network.tensors()
        expected = {name: kept * value + (1 - kept) * current[name] for name, value in expected.items()}
    for name, value in average.tensors().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)
    last = state.network.tensors()
    assert any(not np.allclose(value, last[name], rtol=1e-3) for name, value in average.tensors().items())


def test_counters_are_copied_and_weights_are_not_trained() -> None:
    state = fresh()
    average = copy_as_average(state.network)
    train_steps(state, 3)
    update_average(average, state.network, AverageSettings(), 2)
    counters = [value for name, value in average.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counters
    assert all(int(value) == 3 for value in counters)
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_warm_up_forgets_the_first_weights_soon() -> None:
    settings = AverageSettings(decay=0.999)
    assert average_decay(settings, 0) == pytest.approx(0.1)
    assert average_decay(settings, 10**6) == 0.999
    remembered = {
        warmup: float(
            np.prod([average_decay(AverageSettings(decay=0.999, warmup=warmup), step) for step in range(200)])
        )
        for warmup in (True, False)
    }
    assert remembered[True] < 1e-6
    assert remembered[False] > 0.8


def test_an_average_keeps_the_networks_memory_format() -> None:
    state = fresh()
    kernel = copy_as_average(state.network).stem[1].conv.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
