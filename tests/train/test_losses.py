import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional

from xception.errors import UsageError
from xception.train.losses import (
    CLASS_WEIGHTS,
    LOSSES,
    CrossEntropy,
    Loss,
    class_weights,
    logit_offsets,
    make_loss,
    smoothing_over_all,
)
from xception.train.recipe import load_recipe, shipped
from xception.train.settings import LossSettings

CLASSES = 5
LOGITS = torch.randn(8, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.tensor([0, 1, 2, 3, 4, 0, 0, 2])
COUNTS = np.array([3, 1, 2, 1, 1])


def loss_of(counts: np.ndarray | None = None, **settings: object) -> CrossEntropy:
    made = make_loss(LossSettings(**settings), COUNTS if counts is None else counts)
    assert isinstance(made, CrossEntropy)
    return made


def faults(loss: Loss) -> list[str]:
    """The parts of the contract of a loss that this one breaks."""
    logits = LOGITS.clone().requires_grad_()
    whole = loss(logits, TARGETS)
    whole.backward()
    parts = [(loss(LOGITS[part], TARGETS[part]), len(LOGITS[part])) for part in (slice(0, 3), slice(3, 8))]
    kept = {
        "is a number": whole.shape == () and bool(whole.isfinite()),
        "has a gradient": logits.grad is not None and bool(logits.grad.isfinite().all() and logits.grad.any()),
        "parts add up": bool(torch.isclose(sum(loss * count for loss, count in parts) / len(LOGITS), whole)),
        "takes probabilities": bool(torch.isclose(loss(LOGITS, torch.from_numpy(one_hot())), whole)),
        "falls towards the labels": bool(loss(LOGITS + torch.from_numpy(one_hot()), TARGETS) < whole),
    }
    return [part for part, holds in kept.items() if not holds]


@pytest.mark.parametrize(
    "settings",
    [{}, {"label_smoothing": 0.1}, *({"class_weights": rule, "label_smoothing": 0.1} for rule in CLASS_WEIGHTS)],
)
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_keeps_the_contract(name: str, settings: dict[str, object]) -> None:
    assert faults(make_loss(LossSettings(name=name, **settings), COUNTS)) == []


WRONG: dict[str, Callable[..., torch.Tensor]] = {
    "parts add up": lambda logits, targets: functional.cross_entropy(logits, targets, reduction="sum"),
    "is a number": lambda logits, targets: functional.cross_entropy(logits, targets).reshape(1),
    "falls towards the labels": lambda logits, targets: -functional.cross_entropy(logits, targets),
    "takes probabilities": lambda logits, targets: functional.cross_entropy(
        logits, targets if targets.ndim == 1 else targets.argmin(1)
    ),
}


@pytest.mark.parametrize("part", WRONG)
def test_a_loss_that_breaks_the_contract_is_noticed(part: str) -> None:
    assert part in faults(WRONG[part])


def test_the_names_of_the_settings_are_those_of_the_table() -> None:
    (names,) = [field.type for field in msgspec.structs.fields(LossSettings) if field.name == "name"]
    assert get_args(names) == tuple(LOSSES)


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
        loss = loss_of(label_smoothing=amount, smoothing_over=kind)
        assert float(loss(LOGITS, TARGETS)) == pytest.approx(direct(soft), rel=1e-12)
    assert (smoothing_over_all(amount, "others", CLASSES) == smoothing_over_all(amount, "all", CLASSES)) == (
        amount == 0
    )


def test_probabilities_are_smoothed_as_classes_are() -> None:
    soft = 0.3 * one_hot() + 0.7 * np.roll(one_hot(), 1, axis=0)
    loss = CrossEntropy(0.1)
    expected = direct(0.9 * soft + 0.1 / CLASSES)
    assert float(loss(LOGITS, torch.from_numpy(soft))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("is_soft", [False, True])
def test_classes_count_by_their_weights_and_parts_add_up(is_soft: bool) -> None:
    weights = (0.5, 1.0, 2.0, 0.1, 3.0)
    loss = loss_of(class_weights=weights)
    targets = torch.from_numpy(one_hot()) if is_soft else TARGETS
    whole = float(loss(LOGITS, targets))
    assert whole == pytest.approx(direct(one_hot(), np.array(weights)), rel=1e-6)
    halves = [float(loss(LOGITS[part], targets[part])) for part in (slice(0, 4), slice(4, 8))]
    assert sum(halves) / 2 == pytest.approx(whole, rel=1e-12)


def weights_of(counts: np.ndarray, rule: str, **settings: object) -> np.ndarray:
    weights = class_weights(LossSettings(class_weights=rule, **settings), counts)
    assert weights is not None
    return weights.numpy().astype(float)


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    counts = np.array([10, 30, 0, 60])
    sums = weights_of(counts, "balanced") * counts
    assert sums[[0, 1, 3]] == pytest.approx([100 / 3] * 3)


@pytest.mark.parametrize("rule", CLASS_WEIGHTS)
def test_weights_by_a_rule_have_the_mean_1_over_the_images(rule: str) -> None:
    counts = np.array([10, 30, 0, 60])
    assert (weights_of(counts, rule) * counts).sum() / counts.sum() == pytest.approx(1)


def test_weights_are_those_of_their_formulas() -> None:
    counts = np.array([10, 1000])
    root = weights_of(counts, "square_root")
    assert root[0] / root[1] == pytest.approx(10)
    effective = weights_of(counts, "effective_number", effective_beta=0.99)
    assert effective[0] / effective[1] == pytest.approx((1 - 0.99**1000) / (1 - 0.99**10), rel=1e-6)
    near_one = weights_of(counts, "effective_number", effective_beta=1 - 1e-9)
    assert near_one == pytest.approx(weights_of(counts, "balanced"), rel=1e-4)
    with pytest.raises(UsageError, match="effective_beta does nothing unless"):
        LossSettings(effective_beta=0.9, class_weights="balanced")


def _losses_of(recipe: Path) -> dict[str, object]:
    return tomllib.loads(recipe.read_text(encoding="utf-8")).get("loss", {})


WEIGHING = {
    **{name: msgspec.convert(_losses_of(path), LossSettings) for name, path in shipped().items()},
    **{f"{rule}, smoothed": LossSettings(class_weights=rule, label_smoothing=0.1) for rule in CLASS_WEIGHTS},
    "others": LossSettings(class_weights="balanced", label_smoothing=0.1, smoothing_over="others"),
}
WEIGHING = {name: loss for name, loss in WEIGHING.items() if loss.class_weights or loss.logit_adjustment}
"""The loss of every recipe that treats rare classes in another way, and all other ways to do so."""


def best_probabilities(loss: Loss, classes: int) -> np.ndarray:
    """Probabilities that make the loss of an image of each class the smallest, row = its class."""
    logits = torch.zeros(classes, classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")
    # Every class by itself, since a rare one's gradient would be lost among the others'.

    def closure() -> torch.Tensor:
        solver.zero_grad()
        value = torch.stack([loss(logits[one : one + 1], torch.tensor([one])) for one in range(classes)]).sum()
        value.backward()
        return value

    solver.step(closure)
    return torch.softmax(logits.detach(), 1).numpy()


def test_the_recipe_for_own_photos_weighs_classes_and_fine_tuning_shows_them_equally_often() -> None:
    assert {"photos", "finetune"} <= WEIGHING.keys()
    assert load_recipe("finetune", ["model.start=", "model.variant=mini_xception"]).sampling == "balanced"


@pytest.mark.parametrize("ratio", [5, 20, 50, 100])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("name", WEIGHING)
def test_weights_leave_the_best_answer_on_separable_skewed_data_with_the_images_own_class(
    name: str, classes: int, ratio: int
) -> None:
    loss = make_loss(WEIGHING[name], np.array([10] + [10 * ratio] * (classes - 1)))
    best = best_probabilities(loss, classes)
    if not WEIGHING[name].logit_adjustment:
        assert np.diag(best) == pytest.approx([0.9 + 0.1 / classes] * classes, abs=0.06)
    assert (best.argmax(axis=1) == np.arange(classes)).all()


@pytest.mark.parametrize("adjustment", [0.0, 0.25, 1.0])
def test_an_adjustment_takes_the_classes_frequencies_out_of_the_answer(adjustment: float) -> None:
    counts = np.array([10, 500])
    loss = loss_of(counts, logit_adjustment=adjustment)
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")
    # All images look alike, so that their classes' shares are all that there is to learn.
    shares = torch.tensor(counts / counts.sum()).reshape(1, 2)

    def closure() -> torch.Tensor:
        solver.zero_grad()
        value = loss(logits, shares)
        value.backward()
        return value

    solver.step(closure)
    rare, frequent = logits.detach()[0].tolist()
    assert frequent - rare == pytest.approx((1 - adjustment) * np.log(50), abs=1e-4)


@pytest.mark.parametrize("classes", [2, 10])
def test_an_adjustment_that_smoothed_labels_cannot_outweigh_is_refused(classes: int) -> None:
    counts = np.array([10] + [500] * (classes - 1))
    with pytest.raises(UsageError, match=r"logit_adjustment 2 would have images .* expected less than 0\.7|1\.2"):
        loss_of(counts, logit_adjustment=2, label_smoothing=0.1)
    limit = np.log1p(0.9 * classes / 0.1) / np.log(50)
    for adjustment, is_right in ((limit * 0.99, True), (limit * 1.01, False)):
        offsets = logit_offsets(adjustment, counts)
        best = best_probabilities(CrossEntropy(0.1, logit_offsets=offsets), classes)
        assert (best[1].argmax() == 1) == is_right


def test_an_adjustment_for_sigmoids_is_refused() -> None:
    with pytest.raises(UsageError, match="logit_adjustment does nothing for binary_cross_entropy"):
        LossSettings(name="binary_cross_entropy", logit_adjustment=0.5)


def test_weights_on_smoothed_targets_would_fail_that_test() -> None:
    weights = torch.tensor(weights_of(np.array([10, 500]), "balanced"), dtype=torch.float64)
    best = best_probabilities(
        lambda x, t: functional.cross_entropy(x, functional.one_hot(t, 2).double(), weights, label_smoothing=0.1), 2
    )
    assert best[1].argmax() == 0


def test_a_blended_image_counts_by_the_mean_weight_of_its_classes() -> None:
    loss = CrossEntropy(0.1, torch.tensor([1.0, 3.0, 1.0, 1.0, 1.0]))
    blended = torch.zeros(8, CLASSES, dtype=torch.float64)
    blended[:, 0], blended[:, 1] = 0.75, 0.25
    expected = 1.5 * float(CrossEntropy(0.1)(LOGITS, blended))
    assert float(loss(LOGITS, blended)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("label_smoothing", "blends_images"), [(0.1, False), (0.0, True)])
def test_a_single_class_has_nothing_to_be_blended_with(label_smoothing: float, blends_images: bool) -> None:
    with pytest.raises(UsageError, match="the data have one class, whose labels cannot be blended"):
        make_loss(LossSettings(label_smoothing=label_smoothing), np.array([9]), blends_images=blends_images)
    assert loss_of(np.array([9])).smoothing == 0


def test_weights_for_another_number_of_classes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"loss\.class_weights holds 3 numbers, and the data have 5 classes"):
        loss_of(class_weights=(1.0, 2.0, 3.0))


def test_smoothing_that_would_make_the_right_class_the_least_likely_is_refused() -> None:
    with pytest.raises(UsageError, match=r"label_smoothing 0\.6 over the others .* of 2 classes .* at most 0\.5"):
        loss_of(np.ones(2), label_smoothing=0.6, smoothing_over="others")
    assert loss_of(np.ones(2), label_smoothing=0.5, smoothing_over="others").smoothing == 1


def test_binary_cross_entropy_is_torchs_of_each_class_by_itself() -> None:
    loss = make_loss(LossSettings(name="binary_cross_entropy"), COUNTS)
    expected = functional.binary_cross_entropy_with_logits(LOGITS, torch.from_numpy(one_hot()))
    assert float(loss(LOGITS, TARGETS)) == pytest.approx(float(expected), rel=1e-12)


def test_a_single_output_is_the_probability_of_its_class() -> None:
    loss = make_loss(LossSettings(name="binary_cross_entropy"), np.array([5, 5]), positive=0)
    logits, targets = LOGITS[:, :1], TARGETS.clamp(max=1)
    expected = functional.binary_cross_entropy_with_logits(logits[:, 0], (targets == 0).double())
    assert float(loss(logits, targets)) == pytest.approx(float(expected), rel=1e-12)
