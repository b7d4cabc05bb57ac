"""A data source of images in memory."""

import operator
from collections.abc import Collection, Sequence, Sized
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception import inputs
from xception.data.source import Item, Lazy, Target, indices_of
from xception.errors import InputError, first_line


@runtime_checkable
class TorchTensor(Protocol):
    """The part of a torch tensor by which its values are taken, without torch."""

    @property
    def ndim(self) -> int: ...

    def detach(self) -> Self: ...

    def cpu(self) -> Self: ...

    def numpy(self) -> Any: ...


@runtime_checkable
class OpenFile(Protocol):
    """The part of an open binary file, or of `io.BytesIO`, by which its content is taken."""

    def read(self) -> bytes: ...


ImageLike = (
    Item
    | str
    | PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | OpenFile
    | Image.Image
    | NDArray[np.uint8]
    | TorchTensor
)
"""An image in any form that a program may have it: an item, a path, an encoded file as bytes or open, Pillow's, an
8-bit array, (H, W), (H, W, 1) or (H, W, 3), or an 8-bit torch tensor, (C, H, W) as torchvision reads it."""

ONE_IMAGE: tuple[type, ...] = (Item, str, PathLike, bytes, bytearray, memoryview, OpenFile, Image.Image)
"""Types of one image, of which some can be iterated over all the same."""


ARRAY_CHANNELS = (1, 2, 3, 4)
"""Channels that Pillow knows: gray, gray and transparency, colour, colour and transparency."""


def as_item(image: ImageLike) -> Item:
    """An image as an item without a label; its key is its path, or `image` where it has none.

    Raises:
        InputError: it is nothing of this kind.
    """
    if isinstance(image, Item):
        return image
    if isinstance(image, str | PathLike) and (path := fspath(image)):
        return Item(path, None, partial(inputs.read_bytes, Path(path), inputs.IMAGE_LIMIT))
    if isinstance(image, bytes | bytearray | memoryview):
        return Item("image", None, partial(bytes, bytes(image)))
    if isinstance(image, Image.Image | np.ndarray):
        return Item("image", None, partial(_image, image))
    if isinstance(image, TorchTensor):
        return as_item(_channels_last(image))
    if isinstance(image, OpenFile) and isinstance(content := image.read(), bytes):
        return as_item(content)
    got = "an empty path" if image == "" else type(image).__name__
    raise InputError(
        f"{got} is no image; expected a path, the bytes of a file, a Pillow image, or 8-bit values as a NumPy array or "
        "a torch tensor"
    )


def _channels_last(tensor: TorchTensor) -> NDArray[np.uint8]:
    try:
        values = np.asarray(tensor.detach().cpu().numpy())
    # A sparse tensor, one of a type that NumPy lacks, or one without values.
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"a tensor cannot be read as an array ({first_line(error)}); expected 8-bit values") from error
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
    images: Sequence[ImageLike],
    targets: Sequence[int] | Sequence[Collection[int]] | NDArray[np.integer],
    classes: Sequence[str],
    name: str = "memory",
) -> Lazy:
    """A source of images in memory, with their class indices; an item's key is its number.

    Args:
        images: what `ImageLike` says, or one array (N, H, W) or (N, H, W, 3).
        targets: for each image the index of its class in `classes`; for multi-label data a set of indices, or a row
            of an array (N, K) of zeros and ones.
        classes: the names; `xception.labels.index_classes(count)` if the targets are the model's own indices.
        name: name of the data in results.

    Raises:
        InputError: another number of targets than of images, or a target that is no class.
    """
    if not isinstance(images, Sized) or not isinstance(targets, Sized):
        names = f"{type(images).__name__} and {type(targets).__name__}"
        raise InputError(f"{names} came as images and targets; expected two lists or arrays of the same length")
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
        tuple(sorted(set(map(_index, target)))) if _is_set(target) else _index(target)  # type: ignore[arg-type]
        for target in targets
    ]


def _is_set(target: object) -> bool:
    return isinstance(target, Collection) and not isinstance(target, str)


def _index(target: int) -> int:
    try:
        return operator.index(target)
    except TypeError:
        raise InputError(
            f"the target {target!r} is no index of a class; expected a whole number from 0, such as classes.index(NAME)"
        ) from None


def _item(images: Sequence[ImageLike], targets: Sequence[Target], index: int) -> Item:
    return Item(f"{index:09d}", targets[index], as_item(images[index]).load)


def _image(image: Image.Image | NDArray[np.uint8]) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if image.dtype != np.uint8:
        raise InputError(
            f"an image has the type {image.dtype}; expected 8-bit values, uint8, which fractions from 0 to 1 become by "
            "(255 * image).round().astype(np.uint8)"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in ARRAY_CHANNELS) or 0 in image.shape:
        raise InputError(
            f"an image has the shape {image.shape}; expected (H, W), (H, W, 1) or (H, W, 3), with the channels last"
        )
    return Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
