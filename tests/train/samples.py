"""A small run's state, as the tests of the training modules need it."""

import signal
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.optim import Optimizer

from tests.support.samples import labelled
from xception.arch.variants import architecture
from xception.bundle import Bundle
from xception.data.remote import Unreachable
from xception.data.source import Items
from xception.models.network import Xception, build
from xception.preprocess import Preprocess, Squash
from xception.train.batch_augment import Batch, normalize
from xception.train.callbacks import Callback, RunningTraining, StepReport
from xception.train.logs import Epoch
from xception.train.parameter_groups import make_optimizer
from xception.train.recipe import Recipe
from xception.train.settings import ComputeSettings, DataSettings, ModelSettings, OptimSettings
from xception.train.state import Progress, TrainingState

EPOCH = Epoch(
    epoch=1,
    steps=3,
    lr=0.1,
    train_loss=1 / 3,
    validation_loss=None,
    validation_top1=0.1,
    seconds=0.5,
    images_per_second=99.5,
    ms_per_step=9.0,
    devices=1,
)


def small_recipe(
    compute: ComputeSettings | None = None, optim: OptimSettings | None = None, batch_size: int = 4
) -> Recipe:
    return Recipe(
        model=ModelSettings(variant="mini_xception", width=0.5),
        data=DataSettings(source="digits"),
        preprocess=Preprocess(color="gray", resize=Squash(width_px=32, height_px=32), mean=(0.5,), std=(0.5,)),
        optim=optim or OptimSettings(lr=0.01),
        compute=compute or ComputeSettings(),
        epochs=2,
        batch_size=batch_size,
    )


def fresh(name: str = "sgd", seed: int = 0, recipe: str = "r", data: str = "d", classes: int = 7) -> TrainingState:
    """A state that no step was made from."""
    torch.manual_seed(seed)
    network = build(architecture("mini_xception", width=0.5, num_classes=classes))
    network.to(memory_format=torch.channels_last)
    settings = OptimSettings(name=name, lr=0.01)
    progress = Progress(recipe=recipe, data=data, classes=classes)
    return TrainingState(network, make_optimizer(network, settings), progress)


def batch(step: int = 0, size: int = 4) -> Batch:
    """Noise with labels in turn, a function of the step."""
    generator = torch.Generator().manual_seed(step)
    return Batch(torch.randint(256, (size, 1, 32, 32), generator=generator, dtype=torch.uint8), torch.arange(size) % 4)


def pixels_of(made: Batch) -> torch.Tensor:
    """The batch as the network takes it."""
    return normalize(made.levels, small_recipe().preprocess)


def train_steps(state: TrainingState, count: int) -> None:
    """Plain steps, without the machinery of a run."""
    state.network.train()
    for _ in range(count):
        made = batch(state.progress.step)
        loss = torch.nn.functional.cross_entropy(state.network(pixels_of(made)), made.targets)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        state.progress.step += 1
        state.progress.loss_sum += loss.item()


def with_unreachable(count: int, place: int) -> Items:
    """Pictures of which the one at `place` is on a server that answers with an error, however often it is asked."""

    def unreachable() -> bytes:
        raise Unreachable("503")

    whole = labelled(count)
    items = tuple(replace(item, load=unreachable) if index == place else item for index, item in enumerate(whole))
    return Items(whole.name, whole.classes, items)


def tensors_of(state: TrainingState) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state.network.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def values_by_tensor(network: Xception, made: Optimizer, key: str) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {names[id(p)]: group[key] for group in made.param_groups for p in group["params"]}


class Hears(Callback):
    """A callback that hands on what it hears."""

    only_watches = True

    def __init__(
        self,
        on_step: Callable[[StepReport], object] = lambda _: None,
        on_epoch: Callable[[Epoch], object] = lambda _: None,
    ) -> None:
        self._step, self._epoch = on_step, on_epoch

    def on_step(self, run: RunningTraining, report: StepReport) -> None:
        self._step(report)

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:
        self._epoch(row)


def same_weights(one: Bundle, other: Bundle) -> bool:
    """True for the same bits in every tensor; what the file says of the run may differ."""
    mine, theirs = one.tensors(), other.tensors()
    return mine.keys() == theirs.keys() and all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)


def stop_at(step: int) -> Hears:
    def stop(report: StepReport) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return Hears(stop)


def signal_at(step: int, number: signal.Signals = signal.SIGTERM) -> Hears:
    def send(report: StepReport) -> None:
        if report.step == step:
            signal.raise_signal(number)

    return Hears(send)
