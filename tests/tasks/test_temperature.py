import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from xception.metrics import Activation, loss, sigmoid, softmax
from xception.tasks import temperature as module
from xception.tasks.kept_logits import AllLogits
from xception.tasks.temperature import MAX_LOG_TEMPERATURE, Answers, OneClassAnswers, SetAnswers, temperature_scaling


def sure(images: int, too_sure: float, seed: int = 0) -> AllLogits:
    """Images whose classes are drawn from the probabilities that their logits have when divided by `too_sure`."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (images, 4))
    shares = softmax(honest)
    targets = (shares.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)
    return AllLogits(np.arange(images), targets, (too_sure * honest).astype(np.float32))


@pytest.mark.parametrize("too_sure", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_one_that_the_logits_were_multiplied_with(too_sure: float) -> None:
    found = temperature_scaling(OneClassAnswers(sure(4000, too_sure), "softmax"))
    assert found
    assert found.temperature == pytest.approx(too_sure, rel=0.08)
    assert found.expected_calibration_error is not None
    assert found.expected_calibration_error < 0.03
    assert found.of_halves[0] != found.of_halves[1]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_it_is_where_the_loss_is_lowest(activation: Activation) -> None:
    found = sure(600, 2.5)
    result = temperature_scaling(OneClassAnswers(found, activation))
    best = minimize_scalar(
        lambda log: loss(found.logits / np.exp(log), found.targets, activation).mean(), bounds=(-3, 3), method="bounded"
    )
    assert result
    assert result.temperature == pytest.approx(np.exp(best.x), rel=1e-3)


def test_no_image_is_judged_by_a_temperature_that_was_fitted_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = sure(60, 3.0)
    fitted: list[set[int]] = []
    fit = module._fit

    def noted_fit(answers: Answers, places: np.ndarray) -> float:
        fitted.append(set(places.tolist()))
        return fit(answers, places)

    monkeypatch.setattr(module, "_fit", noted_fit)
    result = temperature_scaling(OneClassAnswers(given, "softmax"))
    assert result
    first, second, everything = fitted
    assert not first & second
    assert first | second == everything == set(range(60))
    losses = [
        loss(given.logits[sorted(half)] / temperature, given.targets[sorted(half)], "softmax").sum()
        for half, temperature in ((first, result.of_halves[1]), (second, result.of_halves[0]))
    ]
    assert result.loss == pytest.approx(sum(losses) / 60, rel=1e-6)
    on_their_own = [
        loss(given.logits[sorted(half)] / temperature, given.targets[sorted(half)], "softmax").sum()
        for half, temperature in zip((first, second), result.of_halves, strict=True)
    ]
    assert result.loss != pytest.approx(sum(on_their_own) / 60, rel=1e-6)


def test_a_model_that_is_always_right_has_the_lowest_temperature_that_is_looked_for() -> None:
    logits = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    right, wrong = (AllLogits(np.arange(30), (np.arange(30) + off) % 3, logits) for off in (0, 1))
    result = temperature_scaling(OneClassAnswers(right, "softmax"))
    assert result
    assert result.temperature == pytest.approx(np.exp(-MAX_LOG_TEMPERATURE))
    highest = temperature_scaling(OneClassAnswers(wrong, "softmax"))
    assert highest
    assert highest.temperature == pytest.approx(np.exp(MAX_LOG_TEMPERATURE))


def test_one_image_or_no_scipy_give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert temperature_scaling(OneClassAnswers(sure(1, 1.0), "softmax")) is None
    monkeypatch.setattr(module, "optional", lambda _: None)
    assert temperature_scaling(OneClassAnswers(sure(20, 1.0), "softmax")) is None


@pytest.mark.parametrize("too_sure", [0.4, 1.0, 3.0])
def test_of_multi_label_data_every_class_of_an_image_is_a_decision(too_sure: float) -> None:
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 2, (3000, 4))
    has = rng.random(honest.shape) < sigmoid(honest)
    answers = SetAnswers((too_sure * honest).astype(np.float32), has)
    found = temperature_scaling(answers)
    assert found
    assert found.temperature == pytest.approx(too_sure, rel=0.08)
    best = minimize_scalar(
        lambda log: log_loss(has.ravel(), sigmoid(answers.scores / np.exp(log)).ravel()),
        bounds=(-3, 3),
        method="bounded",
    )
    assert found.temperature == pytest.approx(np.exp(best.x), rel=1e-3)
    shares = sigmoid(honest).ravel()
    assert found.loss == pytest.approx(log_loss(has.ravel(), shares), rel=0.01)
    assert found.brier_score == pytest.approx(brier_score_loss(has.ravel(), shares), rel=0.01)
    assert found.expected_calibration_error is not None
    assert found.expected_calibration_error < 0.02
