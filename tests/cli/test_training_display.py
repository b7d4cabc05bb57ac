import pytest
from rich.console import Console
from rich.progress import Progress

from tests.train.samples import EPOCH, fresh, small_recipe
from xception.cli.training_display import TrainingDisplay
from xception.train.callbacks import RunningTraining, StepReport
from xception.train.schedule import Course

RUN = RunningTraining(
    recipe=small_recipe(),
    course=Course(steps_per_epoch=25, epochs=4, batch_size=32),
    place="run",
    state=fresh(),
    note=print,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def report(step: int) -> StepReport:
    return StepReport(step=step, total_steps=100, epoch=1, epochs=4, images=32, loss=1.25, lr=0.1)


def display(clock: Clock) -> TrainingDisplay:
    return TrainingDisplay(Progress(console=Console(stderr=True), disable=True), clock)


def test_away_from_a_terminal_a_line_comes_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    shown = display(clock)
    for step in range(1, 41):
        clock.time = 2.0 * step
        shown.on_step(RUN, report(step))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "step 15/100, epoch 1/4, loss 1.250, rate 0.1, 16 images/s, 0:02:50 left",
        "step 30/100, epoch 1/4, loss 1.250, rate 0.1, 16 images/s, 0:02:20 left",
    ]


def test_an_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    display(Clock()).on_epoch(RUN, EPOCH)
    line = (
        "epoch 1: loss 0.3333, validation top-1 10.00%, balanced accuracy -, rate 0.1, 9.0 ms/step, 100 images/s, 0 s\n"
    )
    assert capsys.readouterr().err == line


def test_validation_does_not_count_as_slowness(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    shown = display(clock)
    clock.time = 100.0
    shown.on_epoch(RUN, EPOCH)
    capsys.readouterr()
    for step in range(1, 32):
        clock.time = 100.0 + step
        shown.on_step(RUN, report(step))
    assert "32 images/s, 0:01:10 left" in capsys.readouterr().err
