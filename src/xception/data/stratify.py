"""Division of multi-label data in proportion, class by class (iterative stratification, Sechidis et al. 2011)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stratified_parts(
    sets: Sequence[tuple[int, ...]], sizes: NDArray[np.float64], per_class: NDArray[np.float64]
) -> list[int]:
    """The part of each image, so that every part comes near its number of images of every class.

    The images of the rarest class that is left are given out first, each to the part that lacks most of the class; of
    equal parts to the one that lacks most images, and of these to the first one.

    Args:
        sets: the class indices of each image, in the order in which images are given out.
        sizes: images wanted in each part, (P,).
        per_class: images wanted of each class in each part, (P, K).
    """
    lacking, lacking_of_class = sizes.astype(np.float64), per_class.astype(np.float64)
    left = np.zeros(per_class.shape[1], np.int64)
    members: list[list[int]] = [[] for _ in left]
    for image, own in enumerate(sets):
        left[list(own)] += 1
        for target in own:
            members[target].append(image)
    parts = [-1] * len(sets)

    def give(image: int, wanted: NDArray[np.float64]) -> None:
        ties = np.flatnonzero(np.isclose(wanted, wanted.max()))
        part = int(ties[np.argmax(lacking[ties])])
        parts[image] = part
        lacking[part] -= 1
        own = list(sets[image])
        lacking_of_class[part, own] -= 1
        left[own] -= 1

    while left.any():
        rarest = int(np.where(left > 0, left, left.max() + 1).argmin())
        for image in members[rarest]:
            if parts[image] < 0:
                give(image, lacking_of_class[:, rarest])
    for image in range(len(sets)):
        if parts[image] < 0:
            give(image, lacking)
    return parts
