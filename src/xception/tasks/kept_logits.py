"""The logits of all images of a data set, kept on the disk for the figures that need all of them at once."""

from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

MAX_KEPT_BYTES = 8 << 30
"""Bytes that are kept: the answers to two million images of 1,000 classes. Beyond them there are no such figures."""


IMAGES_READ_AT_ONCE = 4096
"""Images whose logits are in memory at once."""


class AllLogits(NamedTuple):
    """The logits of N images, in the order in which they came."""

    places: npt.NDArray[np.integer[Any]]
    """(N,), each image's place among all of its data set."""
    targets: npt.NDArray[np.integer[Any]]
    """(N,), class indices."""
    logits: npt.NDArray[np.floating[Any]]
    """(N, K), read from the disk where they are looked at."""


class KeptLogits:
    """Logits as they come, in a file without a name that is gone with this object.

    Args:
        number: the type in which they are kept.
        max_bytes: above it nothing is kept.
    """

    def __init__(self, number: str = "<f4", *, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._number = number
        self._file: IO[bytes] | None = TemporaryFile()  # noqa: SIM115 - closed with this object
        self._count, self._max_bytes = 0, max_bytes

    def add(self, place: int, target: int, logits: npt.NDArray[np.floating[Any]]) -> None:
        """Keep the logits of one image."""
        if self._file is None:
            return
        if not self._count:
            self._row = np.dtype([("place", "<i8"), ("target", "<i4"), ("logits", self._number, logits.shape)])
        self._count += 1
        try:
            if self._count * self._row.itemsize > self._max_bytes:
                raise OSError
            self._file.write(np.array((place, target, logits), self._row).tobytes())
        except OSError:  # no room: the other figures need none
            self.close()

    def read(self) -> AllLogits | None:
        """All that was kept; None where there was no room for it, or nothing came."""
        if self._file is None or not self._count:
            return None
        self._file.flush()
        rows = np.memmap(self._file, self._row, "r", shape=(self._count,))
        return AllLogits(np.array(rows["place"]), np.array(rows["target"]), rows["logits"])

    def close(self) -> None:
        """Give the room on the disk back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
