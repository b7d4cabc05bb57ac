from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.train.samples import batch, equal, fresh, pixels_of, small_recipe, tensors_of
from xception.train.batch_augment import BatchAugment
from xception.train.checkpoint import encode, restore
from xception.train.distributed import launch
from xception.train.losses import CrossEntropy
from xception.train.schedule import Course, LearningRate
from xception.train.settings import ComputeSettings, MixSettings
from xception.train.state import TrainingState
from xception.train.step import PendingLoss, Stepper, step_seed


def stepper(
    state: TrainingState,
    compute: ComputeSettings | None = None,
    clip_norm: float | None = None,
    lr: float = 0.01,
    mix: MixSettings | None = None,
) -> Stepper:
    recipe = small_recipe(compute)
    fabric, state.scaler = launch(recipe.compute)
    wrapped, wrapped_optimizer = fabric.setup(state.network, state.optimizer)
    wrapped.train()
    course = Course(steps_per_epoch=5, epochs=recipe.epochs, batch_size=recipe.batch_size)
    return Stepper(
        fabric=fabric,
        network=wrapped,
        optimizer=wrapped_optimizer,
        learning_rate=LearningRate(recipe.schedule, lr, course),
        augment=BatchAugment(
            augment=recipe.augment,
            mix=mix or recipe.mix,
            preprocess=recipe.preprocess,
            num_classes=state.network.spec.num_classes,
            steps_per_epoch=course.steps_per_epoch,
            seed=recipe.seed,
        ),
        loss=CrossEntropy(0.0),
        seed=recipe.seed,
        accumulate=recipe.compute.accumulate,
        clip_norm=clip_norm,
    )


def mixing(until: int | None, state: TrainingState) -> Stepper:
    return stepper(state, mix=MixSettings(mixup=0.8, until=until))


def gradients(state: TrainingState) -> list[torch.Tensor]:
    """Those of the next step, which is then not made."""
    kept: list[torch.Tensor] = []

    def keep(*_: object) -> None:
        kept.extend(p.grad.clone() for p in state.network.parameters() if p.grad is not None)

    state.optimizer.register_step_pre_hook(keep)
    return kept


def still(network: nn.Module) -> None:
    """Keep batch statistics as they are, so that images do not see each other."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def test_a_step_is_that_of_plain_torch() -> None:
    state, plain = fresh(), fresh()
    loss = stepper(state)(state, batch())
    plain.network.train()
    expected = nn.functional.cross_entropy(plain.network(pixels_of(batch())), batch().targets)
    expected.backward()
    plain.optimizer.param_groups[0]["lr"] = plain.optimizer.param_groups[1]["lr"] = 0.01
    plain.optimizer.step()
    assert PendingLoss(loss).value() == expected.item()
    assert equal(tensors_of(state), tensors_of(plain))


@pytest.mark.parametrize("parts", [2, 3, 4, 9])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(parts: int) -> None:
    whole, divided = fresh(), fresh()
    kept = [gradients(state) for state in (whole, divided)]
    losses = []
    for state, count in ((whole, 1), (divided, parts)):
        step = stepper(state, ComputeSettings(accumulate=count))
        still(state.network)
        losses.append(step(state, batch()).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for first, second in zip(*kept, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("step", "until"), [(4, 0), (5, 1), (14, 2)])
def test_images_are_blended_up_to_an_epoch_and_whole_from_then_on(step: int, until: int) -> None:
    losses = []
    for last in (None, until, until + 1):
        state = fresh()
        state.progress.step = step
        make, levels = mixing(last, state), batch().levels
        losses.append(make(state, batch()._replace(draws=make.augment.draw(levels, step))))
    whole = fresh()
    whole.progress.step = step
    blended, *others = losses
    assert others == [stepper(whole)(whole, batch()), blended]
    assert blended != others[0]


def test_a_gradient_is_clipped_to_its_norm_and_no_further() -> None:
    norms = []
    for limit in (None, 0.5, 1e9):
        state = fresh()
        kept = gradients(state)
        stepper(state, clip_norm=limit)(state, batch())
        norms.append(torch.cat([tensor.flatten() for tensor in kept]).norm().item())
    free, clipped, loose = norms
    assert clipped == pytest.approx(0.5, rel=1e-4)
    assert clipped < free == loose


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.05), ("float16", 0.02)])
def test_reduced_precision_stays_near_float32_and_keeps_its_weights_in_it(precision: str, tolerance: float) -> None:
    exact, reduced = fresh(), fresh()
    expected = stepper(exact)(exact, batch()).item()
    loss = stepper(reduced, ComputeSettings(precision=precision))(reduced, batch()).item()
    assert loss == pytest.approx(expected, rel=tolerance)
    assert loss != expected
    assert {parameter.dtype for parameter in reduced.network.parameters()} == {torch.float32}


def test_a_float16_step_whose_gradient_overflows_is_left_out_and_the_scale_lowered() -> None:
    state = fresh()
    step = stepper(state, ComputeSettings(precision="float16"))
    assert state.scaler is not None
    state.scaler.load_state_dict(state.scaler.state_dict() | {"scale": 2.0**40})
    before = deepcopy(dict(state.network.named_parameters()))
    step(state, batch())
    assert state.scaler.get_scale() == 2.0**39
    assert equal(dict(state.network.named_parameters()), before)


def test_a_restored_scale_goes_on_growing() -> None:
    state, resumed = fresh(), fresh()
    step = stepper(state, ComputeSettings(precision="float16"))
    step(state, batch())
    again = stepper(resumed, ComputeSettings(precision="float16"))
    assert state.scaler is not None
    state.scaler.load_state_dict(state.scaler.state_dict() | {"scale": 2.0**8})  # which these gradients fit in
    restore(resumed, encode(state), "file")
    step(state, batch(1))
    again(resumed, batch(1))
    assert state.scaler is not None
    assert resumed.scaler is not None
    assert resumed.scaler.state_dict() == state.scaler.state_dict()
    assert state.scaler.state_dict()["_growth_tracker"] > 0
    assert equal(tensors_of(state), tensors_of(resumed))


def test_what_a_step_draws_depends_on_the_step_alone() -> None:
    drawn = []
    for step in (3, 3, 4):
        state = fresh()
        state.progress.step = step
        stepper(state)(state, batch())
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_weight_of_a_share_scales_its_gradient_but_not_its_loss() -> None:
    losses, kept = [], []
    for weight in (1.0, 0.5):
        state = fresh()
        kept.append(gradients(state))
        losses.append(stepper(state)(state, batch(), weight))
    assert losses[0] == losses[1]
    for first, second in zip(*kept, strict=True):
        torch.testing.assert_close(second, first / 2)


def test_neighbouring_seeds_share_no_steps_draws() -> None:
    seeds = [step_seed(seed, step, rank) for seed in range(5) for step in range(200) for rank in range(2)]
    assert len(set(seeds)) == len(seeds)
    assert step_seed(1, 4, 0) != step_seed(0, 5, 0)
    torch.manual_seed(step_seed(-(2**63), 10**9, 7))


def test_only_a_part_that_has_all_its_images_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    stances: list[str] = []
    set_stance = torch.compiler.set_stance
    monkeypatch.setattr(torch.compiler, "set_stance", lambda stance: stances.append(stance) or set_stance(stance))
    state = fresh()
    step = replace(stepper(state), compiled_images=4)
    step(state, batch(size=4))
    assert stances == []
    step(state, batch(size=3))
    assert stances == ["force_eager"]
