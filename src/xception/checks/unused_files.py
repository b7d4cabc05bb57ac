"""Files in a data set's folder that are not read, although their owner may expect that."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from xception.checks.findings import Finding, finding
from xception.data.decode import JPEG_START
from xception.data.files import Files, is_image
from xception.data.inventory import JUNK_NAMES
from xception.waits import each_listed

IMAGE_STARTS = (JPEG_START, b"\x89PNG\r\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP")
"""First bytes of image files."""

ISO_BRANDS = (b"ftyphei", b"ftypmif1", b"ftypavif")
"""Bytes of HEIC and AVIF files behind their first four."""

HEAD_BYTES = 12


def unused_files(files: Files) -> Iterator[Finding]:
    """Find the files in a folder of class folders that are not among its images.

    Raises:
        OSError: the folder cannot be read.
    """
    names = list(each_listed(files.names(), files.place))
    for name in names:
        if is_image(name):
            if "/" not in name or name.startswith("."):
                yield finding("outside_class", [name])
        elif JUNK_NAMES.fullmatch(name):
            yield finding("junk", [name])
        elif "/" in name and _begins_like_an_image(files, name):
            yield finding("ignored_image", [name])
    yield from case_clashes(names)


def case_clashes(names: Iterable[str]) -> Iterator[Finding]:
    """Names that are one on systems to which upper and lower case are the same."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name.casefold()].append(name)
    return (finding("case_clash", group) for group in groups.values() if len(group) > 1)


def _begins_like_an_image(files: Files, name: str) -> bool:
    try:
        head = files.span(name, 0, min(HEAD_BYTES, files.size(name)))
    except OSError:
        return False  # whatever it is, no source reads it
    return head.startswith(IMAGE_STARTS) or head[4:].startswith(ISO_BRANDS)
