"""A search for caches on the way from file to answer: if results are remembered, no figure means anything."""

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
from xception.speed.race import require_enough_rounds
from xception.speed.workload import NullSession, Workload, drain, first_image

IMAGES_PER_TURN = 16
"""Or one batch, if that is more."""

AUDIT_CONFIDENCE = 0.99
"""High, since an alarm that only noise raised would be believed."""

MAX_WARM_CPU_GAIN = 0.1
"""Speed-up of repeated work that CPU caches and branch prediction explain."""

MakeWork = Callable[[Sequence[Item]], Callable[[], None]]
"""Builds the work to be timed from some images."""

MIN_CACHE_SPEEDUP = 1.5
"""A cached result saves more than a third of the work; less is not a cache."""


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One image again and again against as many that differ from one another, of the same size and kind.

    Ratios are the rate of the first over that of the second, with 99 % intervals over pairs of turns.
    """

    batch: int
    images: int
    ratios: dict[str, Interval]
    caching: tuple[str, ...]
    """Stages that are faster on repeated images, beyond the noise and `MAX_WARM_CPU_GAIN`."""
    undecided: tuple[str, ...]
    """Stages too noisy to exclude a speed-up of `MIN_CACHE_SPEEDUP`."""

    def sentence(self) -> str:
        """The finding in words."""
        figures = ", ".join(
            f"{stage} {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]" for stage, ratio in self.ratios.items()
        )
        measured = f"a repeated image ran {figures} times as fast as new ones"
        if self.caching:
            stages = " and ".join(self.caching)
            return f"{stages}: {measured} (expected about 1), so results are cached; no rates are reported"
        if self.undecided:
            return f"no verdict: the noise could hide a cache in {' and '.join(self.undecided)}: {measured}"
        return f"nothing is cached: {measured}"


def self_audit(workload: Workload, *, repeats: int) -> Audit:
    """Measure it for the preprocessing, the inference and the whole.

    Raises:
        UsageError: too few rounds for an interval.
        InputError: none of the images can be read.
    """
    require_enough_rounds(repeats)
    size = -(-IMAGES_PER_TURN // workload.engine.batch_size) * workload.engine.batch_size
    copies = _copies(workload)
    stages: dict[str, MakeWork] = {
        "preprocess": partial(_preprocess, workload),
        "infer": partial(_infer, workload),
        "end_to_end": partial(_end_to_end, workload),
    }
    ratios = {name: _ratio(make_work, copies, size, repeats, workload.clock) for name, make_work in stages.items()}
    return Audit(
        batch=workload.engine.batch_size,
        images=size,
        ratios=ratios,
        caching=tuple(name for name, ratio in ratios.items() if ratio.low > 1 + MAX_WARM_CPU_GAIN),
        undecided=tuple(
            name
            for name, ratio in ratios.items()
            if ratio.low <= 1 + MAX_WARM_CPU_GAIN and ratio.high > MIN_CACHE_SPEEDUP
        ),
    )


def _ratio(make_work: MakeWork, copies: Iterator[Item], size: int, repeats: int, clock: Clock) -> Interval:
    one = next(copies)

    def again() -> Callable[[], None]:
        return make_work([one] * size)

    def fresh() -> Callable[[], None]:
        return make_work(list(islice(copies, size)))

    fresh()()
    pairs = alternated(again, fresh, repeats=repeats, clock=clock)
    return bootstrap_ratio([new / old for old, new in pairs], AUDIT_CONFIDENCE)


def _preprocess(workload: Workload, items: Sequence[Item]) -> Callable[[], None]:
    null = NullSession(workload.session, instances=workload.engine.workers)
    return lambda: drain(workload.around(null).run(items))


def _infer(workload: Workload, items: Sequence[Item]) -> Callable[[], None]:
    null = NullSession(workload.session, instances=workload.engine.workers, keep=True)
    drain(workload.around(null).run(items))
    return lambda: drain(workload.session(batch) for batch in null.batches)


def _end_to_end(workload: Workload, items: Sequence[Item]) -> Callable[[], None]:
    return lambda: drain(workload.engine.run(items))


def _copies(workload: Workload) -> Iterator[Item]:
    """The first image that can be read, shifted by other distances each time, with its edges around the corner.

    Shifted, since two different images are different work, and would hide a memory or feign one.
    """
    loaded, image = first_image(workload.items, workload.data)
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
