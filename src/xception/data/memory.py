"""A data source of images in memory."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception import inputs
from xception.data.source import Item, Lazy, Target, indices_of
from xception.errors import InputError


@runtime_checkable
class TorchTensor(Protocol):
    """The part of a torch tensor by which its values are taken, without torch."""

    @property
    def ndim(self) -> int: ...

    def detach(self) -> Self: ...

    def cpu(self) -> Self: ...

    def numpy(self) -> Any: ...


ImageLike = Item | str | Path | bytes | Image.Image | NDArray[np.uint8] | TorchTensor
"""An image in any form that a program may have it: an item, a path, an encoded file, Pillow's, an 8-bit array, (H, W)
or (H, W, 3), or an 8-bit torch tensor, (C, H, W) as torchvision reads it."""


def as_item(image: ImageLike) -> Item:
    """An image as an item without a label; its key is its path, or `image` where it has none.

    Raises:
        InputError: it is nothing of this kind.
    """
    if isinstance(image, Item):
        return image
    if isinstance(image, str | Path):
        return Item(str(image), None, partial(inputs.read_bytes, Path(image), inputs.IMAGE_LIMIT))
    if isinstance(image, bytes):
        return Item("image", None, partial(bytes, image))
    if isinstance(image, Image.Image | np.ndarray):
        return Item("image", None, partial(_image, image))
    if isinstance(image, TorchTensor):
        return as_item(_channels_last(image))
    raise InputError(
        f"{type(image).__name__} is no image; expected a path, the bytes of a file, a Pillow image, or 8-bit values "
        "as a NumPy array or a torch tensor"
    )


def _channels_last(tensor: TorchTensor) -> NDArray[np.uint8]:
    values = np.asarray(tensor.detach().cpu().numpy())
    if values.dtype != np.uint8:
        raise InputError(
            f"a tensor of {values.dtype} does not tell how its values were prepared; expected 8-bit values, uint8, or "
            "the torch module of the model, which takes normalised pixels"
        )
    if values.ndim == 2:
        return values
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        raise InputError(f"a tensor has the shape {values.shape}; expected (C, H, W) with 1 or 3 channels")
    return values[0] if values.shape[0] == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))


def in_memory(
    images: Sequence[Image.Image | NDArray[np.uint8]],
    targets: Sequence[int] | Sequence[Collection[int]] | NDArray[np.integer],
    classes: Sequence[str],
    name: str = "memory",
) -> Lazy:
    """A source of images in memory, with their class indices; an item's key is its number.

    Args:
        images: Pillow images, or 8-bit arrays (H, W) or (H, W, 3), or one array (N, H, W) or (N, H, W, 3).
        targets: for each image the index of its class in `classes`; for multi-label data a set of indices, or a row
            of an array (N, K) of zeros and ones.
        classes: the names; `xception.labels.index_classes(count)` if the targets are the model's own indices.
        name: name of the data in results.

    Raises:
        InputError: another number of targets than of images, or a target that is no class.
    """
    if len(images) != len(targets):
        raise InputError(f"{len(images)} images came with {len(targets)} targets; expected one for each")
    own = _own_targets(targets, len(classes))
    wrong = [index for target in own for index in indices_of(target) if not 0 <= index < len(classes)]
    if wrong:
        raise InputError(f"the target {wrong[0]} is none of {len(classes)} classes; expected 0 to {len(classes) - 1}")

    return Lazy(name, tuple(classes), range(len(images)), partial(_item, images, own))


def _own_targets(
    targets: Sequence[int] | Sequence[Collection[int]] | NDArray[np.integer], classes: int
) -> Sequence[Target]:
    if isinstance(targets, np.ndarray) and targets.ndim == 2:
        if targets.shape[1] != classes or not np.isin(targets, (0, 1)).all():
            raise InputError(
                f"targets of the shape {targets.shape} came with {classes} classes; expected (N, {classes}) zeros and "
                "ones, or one class per image, (N,)"
            )
        return [tuple(map(int, np.flatnonzero(row))) for row in targets]
    return [
        tuple(sorted(set(map(int, target)))) if isinstance(target, Collection) else int(target) for target in targets
    ]


def _item(images: Sequence[Image.Image | NDArray[np.uint8]], targets: Sequence[Target], index: int) -> Item:
    return Item(f"{index:09d}", targets[index], partial(_image, images[index]))


def _image(image: Image.Image | NDArray[np.uint8]) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if image.dtype != np.uint8:
        raise InputError(f"an image has the type {image.dtype}; expected 8-bit values, uint8")
    return Image.fromarray(image)
