"""Files that come in: every one is opened here, as a regular file only, and read up to a limit.

A file that cannot be read is an `OSError` whose `strerror` says why in words, whether the system refused it or this
module did.
"""

import codecs
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from io import BufferedReader
from itertools import islice
from pathlib import Path
from types import UnionType
from typing import BinaryIO, NamedTuple, NoReturn, TypeVar

import msgspec

from xception.platforms import NO_LINK_FLAG, READ_FLAGS

T = TypeVar("T")


class Limit(NamedTuple):
    """The most bytes that a file of one kind may have."""

    bytes: int
    kind: str
    """The kind, with its article."""


DOCUMENT_LIMIT = Limit(16 << 20, "a description")
"""`model.json`, a recipe, a run's manifest: some kilobytes each."""

LABELS_LIMIT = Limit(64 << 20, "a file of class names")
"""One name per class; there are a million classes at most."""

LIST_LIMIT = Limit(1 << 30, "a list file")
"""One line per image: ImageNet's 14 million take 700 MB."""

IMAGE_LIMIT = Limit(256 << 20, "an image file")
"""A hundred times a photograph; the largest image that is decoded has 179 million pixels."""

RESULTS_LIMIT = Limit(1 << 30, "a file of results")
"""Answers of other programs."""

MODEL_LIMIT = Limit(8 << 30, "a model's file")
"""Weights, graphs and training checkpoints; the largest here, with its optimizer's state, has 700 MB."""

KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "it is a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "it is a pipe, where a regular file is expected"),
    (stat.S_ISSOCK, errno.EINVAL, "it is a socket, where a regular file is expected"),
    (stat.S_ISCHR, errno.EINVAL, "it is a device, where a regular file is expected"),
    (stat.S_ISBLK, errno.EINVAL, "it is a device, where a regular file is expected"),
)
"""Kinds of files that are refused, each with the error's number and words."""

MAX_NEIGHBOURS = 10_000
"""Names in a folder that are looked through for the one that was meant."""

MIN_LIKENESS_OF_PATHS = 0.7
"""Likeness, from 0 to 1, from which on a file or a name is suggested for what is none."""

_CHUNK_BYTES = 1 << 20


def open_file(path: Path, *, follow_link: bool = True) -> BufferedReader:
    """Open a regular file to read it, without ever waiting for a writer.

    Args:
        path: the file.
        follow_link: take the file that a link leads to; otherwise a link is refused.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe, a device, a socket, or a link that is not followed.
    """
    if not follow_link and path.is_symlink():
        _refuse(path, "it is a link, where a regular file is expected")
    try:
        descriptor = os.open(path, READ_FLAGS | (0 if follow_link else NO_LINK_FLAG))
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    try:
        mode = os.fstat(descriptor).st_mode  # of what was opened, whatever lies at the path by now
        for is_kind, number, words in KINDS:
            if is_kind(mode):
                raise OSError(number, words, str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, limit: Limit, *, follow_link: bool = True) -> bytes:
    """Read a whole file; for the arguments and errors see `open_file`.

    Raises:
        OSError: also if it is larger than the limit, or becomes shorter while it is read.
    """
    with open_file(path, follow_link=follow_link) as file:
        return read_open(path, file, limit)


def read_open(path: Path, file: BinaryIO, limit: Limit) -> bytes:
    """Read a whole file that `open_file` opened; see `read_bytes`."""
    size = file_size(file)
    if size > limit.bytes:
        _refuse_size(path, limit)
    content = file.read(size + 1)
    if len(content) < size:
        _refuse(path, f"it became shorter while it was read: {len(content)} of {size} bytes came")
    return content if len(content) == size else _rest(path, file, content, limit)


def read_utf8(path: Path, limit: Limit) -> str:
    """Read a whole text file; see `read_bytes`.

    Raises:
        OSError: see `read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path, limit).decode("utf-8")


def decode_text(content: bytes) -> str:
    """The text of a file that a person wrote: in UTF-8, or in UTF-16 as Windows' programs mark it; lines end in `\\n`.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    text = content.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n")
    return text if "\n" in text else text.replace("\r", "\n")


def read_part(path: Path, start: int, length: int) -> bytes:
    """Read up to `length` bytes from position `start` of a file; fewer if it ends before.

    Raises:
        OSError: see `open_file`.
    """
    with open_file(path) as file:
        file.seek(start)
        return file.read(max(0, min(length, file_size(file) - start)))


def parse_json(content: bytes | str, form: type[T] | UnionType) -> T:
    """The value of a JSON document of the given form.

    Raises:
        msgspec.DecodeError: it is no such document, no UTF-8, or nested without end.
    """
    try:
        return msgspec.json.decode(content, type=form)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def expected_for(place: str, names: Iterable[str] = ()) -> str:
    """The beginning of a sentence on what was expected at a place with nothing: `expected`, behind a question for the
    likeliest path or name if there is one.

    Args:
        place: what was given.
        names: what could have been meant that is no path.
    """
    near = next(_meant(place), None) or _nearest(place, names)
    return f"did you mean {near}? Expected" if near else "expected"


def _nearest(given: str, names: Iterable[str]) -> str | None:
    """The likeliest of some names, in capitals or not."""
    known = {name.lower(): name for name in names}
    return next((known[near] for near in get_close_matches(given.lower(), known, 1, MIN_LIKENESS_OF_PATHS)), None)


def _meant(place: str) -> Iterator[str]:
    """The paths of something that a path of nothing may stand for: in quotes, where no shell replaced `~`, as written
    on Windows or as NAME=PATH, or with a slip in its last part."""
    for path in (os.path.expanduser(place), place.replace("\\", "/"), place.partition("=")[2]):  # noqa: PTH111
        if path not in ("", place) and os.path.exists(path):  # noqa: PTH110 - which takes every text
            yield path
    folder, name = os.path.split(place)
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in islice(entries, MAX_NEIGHBOURS)]
    except (OSError, ValueError):
        return
    if other := _nearest(name, names):
        yield f"{place.removesuffix(name)}{other}"


def file_size(file: BinaryIO) -> int:
    """Size in bytes of a file that is open."""
    return os.fstat(file.fileno()).st_size


def _rest(path: Path, file: BinaryIO, begun: bytes, limit: Limit) -> bytes:
    """The whole content of a file that is longer than its size said, which grows or which the system makes up."""
    content = bytearray(begun)
    while chunk := file.read(_CHUNK_BYTES):
        content += chunk
        if len(content) > limit.bytes:
            _refuse_size(path, limit)
    return bytes(content)


def _refuse_size(path: Path, limit: Limit) -> NoReturn:
    _refuse(path, f"it is larger than {limit.bytes:,} bytes, the limit for {limit.kind}")


def _refuse(path: Path, words: str) -> NoReturn:
    raise OSError(errno.EINVAL, words, str(path))
