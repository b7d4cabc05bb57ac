"""Untrusted bytes, read within bounds."""

import struct
from typing import Any

from xception.errors import InputError


def damaged(finding: str) -> InputError:
    """The error for a file that contradicts itself."""
    return InputError(f"{finding}; the file is damaged or not whole, so fetch or save it again")


class ByteSpan:
    """A stretch of bytes. Positions count from its start, numbers are little endian, and nothing outside is reached."""

    def __init__(self, data: memoryview) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def take(self, start: int, size: int) -> memoryview:
        """`size` bytes from `start`, without a copy.

        Raises:
            InputError: they are not all inside.
        """
        if start < 0 or size < 0 or start + size > len(self.data):
            raise damaged(f"it refers to {size} bytes at {start}, but only {len(self.data)} are there")
        return self.data[start : start + size]

    def byte(self, position: int) -> int:
        """The number at `position`."""
        if not 0 <= position < len(self.data):
            raise damaged(f"it ends at byte {len(self.data)}, where more should follow")
        return self.data[position]

    def unpack(self, layout: str, start: int) -> tuple[Any, ...]:
        """The fields of a `struct` layout at `start`."""
        layout = "<" + layout
        return struct.unpack(layout, self.take(start, struct.calcsize(layout)))

    def starts_with(self, signature: bytes, start: int = 0) -> bool:
        return self.data[start : start + len(signature)] == signature
