"""Images that kill the process which prepares them, found in processes that may die.

Here an image is read in such a process too; one of `Cores` only decodes, and so would not outlive an image that kills
while it is read.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from xception.data.source import Item
from xception.pipeline.lane import Lane
from xception.pipeline.prepare import Preparation, prepare_image
from xception.platforms import PROCESS_START


def deadly_images(lane: Lane, items: Sequence[Item], first: int = 0) -> frozenset[int]:
    """The places of the images that no process survives preparing: all are tried in one, and those of one that died by
    halves.

    Args:
        lane: the way of the images, of which no runtime is called.
        items: the images.
        first: the place of the first one.
    """
    if not items or _survives(lane, items):
        return frozenset()
    if len(items) == 1:
        return frozenset({first})
    half = len(items) // 2
    return deadly_images(lane, items[:half], first) | deadly_images(lane, items[half:], first + half)


def _survives(lane: Lane, items: Sequence[Item]) -> bool:
    # mypy knows no context whose name is found out while it runs.
    context: Any = get_context(PROCESS_START)
    child = context.Process(target=_prepare, args=(items, lane.preparation))
    child.start()
    child.join()
    return bool(child.exitcode == 0)


def _prepare(items: Sequence[Item], preparation: Preparation) -> None:
    for item in items:
        # The later preparation of the image reports what is wrong with it.
        with suppress(Exception):
            prepare_image(item.load(), preparation)
    # Of the images nothing is left to say, and ending as usual runs what the process before it registered for its own
    # end; in a process of Ray's that fails.
    os._exit(0)
