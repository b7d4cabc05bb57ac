import msgspec
import numpy as np
import pytest
import torch

from tests.train.samples import small_recipe
from xception.errors import UsageError
from xception.train.losses import Loss, loss_of, smoothing_over_all
from xception.train.recipe import Recipe
from xception.train.settings import MixSettings

CLASSES = 5
LOGITS = torch.randn(8, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.tensor([0, 1, 2, 3, 4, 0, 0, 2])


def recipe(**settings: object) -> Recipe:
    return msgspec.structs.replace(small_recipe(), **settings)


def direct(soft: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The mean over images of minus the probability-weighted logarithms."""
    logits = LOGITS.numpy()
    logarithms = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return float(-(soft * logarithms * (1 if weights is None else weights)).sum(1).mean())


def one_hot() -> np.ndarray:
    return np.eye(CLASSES)[TARGETS.numpy()]


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.3])
def test_smoothing_is_shared_by_all_classes_or_by_all_others(amount: float) -> None:
    over_all = one_hot() * (1 - amount) + amount / CLASSES
    others = np.where(one_hot() == 1, 1 - amount, amount / (CLASSES - 1))
    for kind, soft in (("all", over_all), ("others", others)):
        loss = loss_of(recipe(label_smoothing=amount, smoothing=kind), np.ones(CLASSES))
        assert float(loss(LOGITS, TARGETS)) == pytest.approx(direct(soft), rel=1e-12)
    assert (smoothing_over_all(amount, "others", CLASSES) == smoothing_over_all(amount, "all", CLASSES)) == (
        amount == 0
    )


def test_probabilities_are_smoothed_as_classes_are() -> None:
    soft = 0.3 * one_hot() + 0.7 * np.roll(one_hot(), 1, axis=0)
    loss = Loss(0.1)
    expected = direct(0.9 * soft + 0.1 / CLASSES)
    assert float(loss(LOGITS, torch.from_numpy(soft))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("is_soft", [False, True])
def test_classes_count_by_their_weights_and_parts_add_up(is_soft: bool) -> None:
    weights = (0.5, 1.0, 2.0, 0.1, 3.0)
    loss = loss_of(recipe(class_weights=weights), np.ones(CLASSES))
    targets = torch.from_numpy(one_hot()) if is_soft else TARGETS
    whole = float(loss(LOGITS, targets))
    assert whole == pytest.approx(direct(one_hot(), np.array(weights)), rel=1e-6)
    halves = [float(loss(LOGITS[part], targets[part])) for part in (slice(0, 4), slice(4, 8))]
    assert sum(halves) / 2 == pytest.approx(whole, rel=1e-12)


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    counts = np.array([10, 30, 0, 60])
    loss = loss_of(recipe(class_weights="balanced"), counts)
    assert loss.class_weights is not None
    sums = loss.class_weights.numpy() * counts
    assert sums[[0, 1, 3]] == pytest.approx([25, 25, 25])


@pytest.mark.parametrize(
    "settings", [{"label_smoothing": 0.1}, {"mix": MixSettings(mixup=0.2)}, {"mix": MixSettings(cutmix=1)}]
)
def test_a_single_class_has_nothing_to_be_blended_with(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="the data have one class, whose labels cannot be blended"):
        loss_of(recipe(**settings), np.array([9]))
    assert loss_of(recipe(), np.array([9])).smoothing == 0


def test_weights_for_another_number_of_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="class_weights holds 3 numbers, and the data have 5 classes"):
        loss_of(recipe(class_weights=(1.0, 2.0, 3.0)), np.ones(CLASSES))


def test_smoothing_that_would_make_the_right_class_the_least_likely_is_refused() -> None:
    with pytest.raises(UsageError, match=r"label_smoothing 0\.6 over the others .* of 2 classes .* at most 0\.5"):
        loss_of(recipe(label_smoothing=0.6, smoothing="others"), np.ones(2))
    assert loss_of(recipe(label_smoothing=0.5, smoothing="others"), np.ones(2)).smoothing == 1
