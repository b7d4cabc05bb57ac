"""The sources' learning rates, written out step by step as each source does, and the settings that give them here."""

import math
from collections.abc import Callable
from typing import Any

from xception.train.schedule import Course

STEPS_PER_EPOCH, EPOCHS, BATCH_SIZE, PEAK = 7, 20, 32, 0.4
TOTAL = STEPS_PER_EPOCH * EPOCHS
COURSE = Course(steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS, batch_size=BATCH_SIZE)


def mindspore_zoo(mode: str, start: float, end: float, warmup_epochs: int) -> list[float]:
    warmup = warmup_epochs * STEPS_PER_EPOCH
    values = []
    for i in range(TOTAL):
        if mode == "steps":
            values.append(PEAK * 0.1 ** sum(i >= share * TOTAL for share in (0.3, 0.6, 0.8)))
        elif mode == "cosine" and i < warmup:
            values.append(start + (PEAK - start) / warmup * (i + 1))
        elif mode == "cosine":
            length = TOTAL - warmup
            line, wave = (TOTAL - i) / length, 0.5 * (1 + math.cos(math.pi * 2 * 0.47 * i / length))
            values.append(PEAK * (line * wave + 0.00001))
        elif i < warmup:
            values.append(start + (PEAK - start) / warmup * i)
        elif mode == "poly":
            values.append(PEAK * (1 - (i - warmup) / (TOTAL - warmup)) ** 2)
        else:
            values.append(PEAK - (PEAK - end) * (i - warmup) / (TOTAL - warmup))
    return values


def mindcv(warmup_epochs: int, decay_epochs: int) -> list[float]:
    rise = [PEAK * (i / STEPS_PER_EPOCH) / warmup_epochs for i in range(warmup_epochs * STEPS_PER_EPOCH)]
    span = range(decay_epochs * STEPS_PER_EPOCH)
    return rise + [0.5 * PEAK * (1 + math.cos(math.pi * (i / STEPS_PER_EPOCH) / decay_epochs)) for i in span]


def paddle(eta_min: float) -> list[float]:
    return [eta_min + (PEAK - eta_min) * (1 + math.cos(math.pi * i / TOTAL)) / 2 for i in range(TOTAL)]


def timm(warmup_epochs: int, start: float, lowest: float) -> list[float]:
    def of_epoch(t: int) -> float:
        if t < warmup_epochs:
            return start + t * (PEAK - start) / warmup_epochs
        return lowest + 0.5 * (PEAK - lowest) * (1 + math.cos(math.pi * t / EPOCHS))

    return [of_epoch(i // STEPS_PER_EPOCH) for i in range(TOTAL)]


def paper(every_epochs: int, factor: float) -> list[float]:
    return [PEAK * factor ** (i // (every_epochs * STEPS_PER_EPOCH)) for i in range(TOTAL)]


def paper_by_images(every_images: int, factor: float) -> list[float]:
    return [PEAK * factor ** (i * BATCH_SIZE // every_images) for i in range(TOTAL)]


CASES: dict[str, tuple[dict[str, Any], Callable[[], list[float]]]] = {
    "mindspore linear": (
        {"name": "linear", "warmup_epochs": 1, "warmup_from": 4e-5, "end_lr": 4e-5},
        lambda: mindspore_zoo("linear", 4e-5, 4e-5, 1),
    ),
    "mindspore poly": (
        {"name": "poly", "warmup_epochs": 2, "warmup_from": 1e-4},
        lambda: mindspore_zoo("poly", 1e-4, 0, 2),
    ),
    "mindspore cosine": (
        {"name": "mindspore_cosine", "warmup_epochs": 3, "warmup_from": 4e-5},
        lambda: mindspore_zoo("cosine", 4e-5, 0, 3),
    ),
    "mindspore steps": ({"name": "steps"}, lambda: mindspore_zoo("steps", 0, 0, 0)),
    "mindcv": ({"warmup_epochs": 5, "warmup_from": 0}, lambda: mindcv(5, EPOCHS - 5)),
    "paddle": ({"end_lr": 0.01}, lambda: paddle(0.01)),
    "timm": (
        {"warmup_epochs": 4, "warmup_from": 1e-5, "warmup_inside": True, "each_epoch": True, "end_lr": 1e-4},
        lambda: timm(4, 1e-5, 1e-4),
    ),
    "paper": ({"name": "staged", "factor": 0.94, "every_epochs": 2}, lambda: paper(2, 0.94)),
    "paper by images": (
        {"name": "staged", "factor": 0.9, "every_images": 500},
        lambda: paper_by_images(500, 0.9),
    ),
    "plain cosine": (
        {"warmup_epochs": 2},
        lambda: (
            [PEAK * (i + 1) / 14 for i in range(14)]
            + [PEAK * 0.5 * (1 + math.cos(math.pi * i / (TOTAL - 14))) for i in range(TOTAL - 14)]
        ),
    ),
}
