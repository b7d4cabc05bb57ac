"""Time that stands still unless it is moved, and models that take as much of it as they are told."""

import threading
from collections.abc import Callable

import numpy as np

from tests.support.samples import CLASSES, OneAtATime, encoded, picture
from xception.backends.base import Logits, Pixels
from xception.data.source import Item, Items


class HandClock:
    """Tells the time that it was moved to."""

    def __init__(self) -> None:
        self._now = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now

    def move(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


class Paced(OneAtATime):
    """A session whose every image takes its time on a clock."""

    name, input_shape, num_classes, batch_size = "paced", (3, 32, 32), len(CLASSES), None

    def __init__(self, clock: HandClock, image_s: float) -> None:
        self._clock = clock
        self.image_s = image_s

    def __call__(self, pixels: Pixels, /) -> Logits:
        self._clock.move(len(pixels) * self.image_s)
        return logits(pixels)

    def close(self) -> None:
        pass


class Accelerator(Paced):
    """A session that computes elsewhere, while the cores are free."""

    threads = 0


def logits(pixels: Pixels) -> Logits:
    return np.asarray(pixels.mean((1, 2, 3))[:, None] * np.arange(len(CLASSES)), np.float32)


def slow_to_read(count: int, clock: HandClock, image_s: Callable[[], float]) -> Items:
    """Pictures without labels, each of which takes its time on a clock to read."""

    def item(index: int) -> Item:
        data = encoded(picture(seed=index))

        def load() -> bytes:
            clock.move(image_s())
            return data

        return Item(f"{index:03d}", None, load)

    return Items("slow", (), tuple(map(item, range(count))))
