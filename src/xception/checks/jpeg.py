"""The end of a JPEG file by its markers (ITU-T T.81); decoders fill what is missing and say nothing."""

import re
from collections.abc import Iterator

MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""A marker that a length follows, or the end mark; not the markers within the data of a scan."""

PROGRESSIVE, SCAN, END = 0xC2, 0xDA, 0xD9

COEFFICIENTS = 64


def has_end(data: bytes) -> bool:
    """Tell whether the image's end mark is there; that of a thumbnail in front of it does not count."""
    return any(marker == END for marker, _ in _segments(data))


def lacks_scans(data: bytes) -> bool:
    """Tell whether a progressive image ends before all its coefficients were sent to their last bit."""
    missing: set[tuple[int, int]] = set()
    for marker, body in _segments(data):
        if marker == PROGRESSIVE and len(body) > 5:
            missing = {(component, place) for component in body[6::3] for place in range(COEFFICIENTS)}
        if marker == SCAN and len(body) > 3:
            components = body[1 : 1 + 2 * body[0] : 2]
            first, last, shifts = body[-3:]
            if shifts & 0xF == 0:
                missing -= {(component, place) for component in components for place in range(first, last + 1)}
    return bool(missing)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over markers and their data, up to the end mark."""
    position = 2
    while match := MARKER.search(data, position):
        marker, start = match[1][0], match.end()
        length = 2 if marker == END else int.from_bytes(data[start : start + 2], "big")
        yield marker, data[start + 2 : start + length]
        if marker == END:
            return
        position = start + max(length, 2)
