"""Whether anything on the way from file to answer remembers what it was given: then no figure would mean anything."""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, islice

import msgspec
import numpy as np
from PIL import Image

from xception.data.source import Item
from xception.intervals import Interval, bootstrap_ratio
from xception.pipeline.timing import Clock, alternated
from xception.speed.race import enough
from xception.speed.workload import Setting, Silent, drain, first_image

IMAGES = 16
"""Of one turn, and at least one batch."""

CONFIDENCE = 0.99
"""An alarm that noise alone raises would be believed."""

MAX_GAIN = 0.1
"""By which the same work again may be faster: the processor's own caches and its guesses are not ours."""

Prepare = Callable[[Sequence[Item]], Callable[[], None]]
"""Of some images, the work that is timed."""

MIN_CAUGHT = 1.5
"""By which a stage that remembers is faster, at the least: a result that is kept saves far more than a third."""


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One image again and again against as many that differ from one another, of the same size and kind.

    Ratios are the rate of the first over that of the second, with 99 % intervals over pairs of turns.
    """

    batch: int
    images: int
    ratios: dict[str, Interval]
    remembering: tuple[str, ...]
    """The stages that are faster for what they have seen before, beyond the noise and `MAX_GAIN`."""
    undecided: tuple[str, ...]
    """The stages of which the noise would hide that they are faster by `MIN_CAUGHT`."""

    def sentence(self) -> str:
        """The finding in words."""
        figures = ", ".join(
            f"{stage} {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]" for stage, ratio in self.ratios.items()
        )
        told = f"the rate of one image repeated over that of many is {figures}"
        if self.remembering:
            stages = " and ".join(self.remembering)
            return f"{stages} remember what they were given: {told}; expected about 1, so that no rate stands here"
        if self.undecided:
            return f"no verdict: the noise could hide a memory in {' and '.join(self.undecided)}: {told}"
        return f"nothing is cached: {told}"


def self_audit(setting: Setting, *, repeats: int) -> Audit:
    """Measure it for the preprocessing, the inference and the whole.

    Raises:
        UsageError: too few rounds for an interval.
        InputError: none of the images can be read.
    """
    enough(repeats)
    size = -(-IMAGES // setting.batch) * setting.batch
    copies = _copies(setting)
    stages: dict[str, Prepare] = {
        "preprocess": partial(_preprocess, setting),
        "infer": partial(_infer, setting),
        "end_to_end": partial(_end_to_end, setting),
    }
    ratios = {name: _ratio(prepare, copies, size, repeats, setting.clock) for name, prepare in stages.items()}
    return Audit(
        batch=setting.batch,
        images=size,
        ratios=ratios,
        remembering=tuple(name for name, ratio in ratios.items() if ratio.low > 1 + MAX_GAIN),
        undecided=tuple(
            name for name, ratio in ratios.items() if ratio.low <= 1 + MAX_GAIN and ratio.high > MIN_CAUGHT
        ),
    )


def _ratio(prepare: Prepare, copies: Iterator[Item], size: int, repeats: int, clock: Clock) -> Interval:
    one = next(copies)

    def again() -> Callable[[], None]:
        return prepare([one] * size)

    def fresh() -> Callable[[], None]:
        return prepare(list(islice(copies, size)))

    fresh()()
    pairs = alternated(again, fresh, repeats=repeats, clock=clock)
    return bootstrap_ratio([new / old for old, new in pairs], CONFIDENCE)


def _preprocess(setting: Setting, items: Sequence[Item]) -> Callable[[], None]:
    silent = Silent(setting.session, instances=setting.lanes)
    return lambda: drain(setting.infer(items, silent))


def _infer(setting: Setting, items: Sequence[Item]) -> Callable[[], None]:
    silent = Silent(setting.session, instances=setting.lanes, keep=True)
    drain(setting.infer(items, silent))
    return lambda: drain(setting.session(batch) for batch in silent.batches)


def _end_to_end(setting: Setting, items: Sequence[Item]) -> Callable[[], None]:
    return lambda: drain(setting.infer(items, setting.session))


def _copies(setting: Setting) -> Iterator[Item]:
    """The first image that can be read, shifted by other distances each time, with its edges around the corner.

    Shifted, since two different images are different work, and would hide a memory or feign one.
    """
    loaded, image = first_image(setting.items, setting.data)
    pixels = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    height, width = pixels.shape[:2]

    def shifted(number: int) -> Item:
        moved = Image.fromarray(np.roll(pixels, (number // width % height, number % width), (0, 1)))
        copy = _encoded(moved) if isinstance(loaded, bytes) else moved
        return Item(f"shifted-{number:06d}", None, lambda: copy)

    return map(shifted, count())


def _encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()
