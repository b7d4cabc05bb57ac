"""Results image by image, as evaluations write them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xception.data.source import Item
from xception.pipeline.lane import Scored
from xception.tasks.image_results import ResultMaker, result_file


def write_rows_of_sets(path: Path, logits_of_ant: Sequence[float]) -> None:
    """Write the results of multi-label data: every other image is an ant, from the first on, and none is a bee."""
    maker = ResultMaker(("ant", "bee"), "sigmoid", logits=True)
    with result_file(path) as file:
        for index, logit in enumerate(logits_of_ant):
            own = () if index % 2 else (0,)
            scored = Scored(Item(f"{index}.png", own, bytes), np.array([logit, -2], np.float32), None)
            file.add(maker.row(scored, "ant" if own else "", own))
