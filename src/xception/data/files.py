"""Trees of files, on this machine or elsewhere, from which all data sources read."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from xception import inputs, platforms

HEIC_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
"""Suffixes of images that an optional package decodes."""

PILLOW_SUFFIXES = (
    ".apng .avif .avifs .blp .bmp .bw .cur .dcx .dds .dib .fit .fits .flc .fli .ftc .ftu .gbr .gif .icb .icns .ico "
    ".im .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .msp .pbm .pcd .pcx .pfm .pgm .pjp .pjpeg .png "
    ".pnm .ppm .psd .pxr .qoi .ras .rgb .rgba .sgi .tga .tif .tiff .vda .vst .webp .xbm .xpm"
)
"""Suffixes of all formats that Pillow decodes by itself."""

IMAGE_SUFFIXES = HEIC_SUFFIXES.union(PILLOW_SUFFIXES.split())
"""Suffixes by which images are told from other files."""

MAC_DOUBLE = "._"
"""Beginning of the names of files in which macOS keeps what another file system has no place for."""

BUFFER_BYTES = 4 << 20
"""Bytes that a file which is opened in place reads at once, in one request if it is remote."""


class Files(Protocol):
    """Files below a root, by names with `/` between their parts; several threads may use them at once.

    A file that cannot be read is an OSError, whose text is a sentence where it does not come from the system itself.
    """

    @property
    def place(self) -> str:
        """Name of the root in messages."""
        ...

    def entries(self, folder: str = "") -> set[str]:
        """The files and folders directly in a folder (`""`, or ending in `/`); a folder's name ends in `/`."""
        ...

    def names(self, folder: str = "") -> Iterator[str]:
        """All files below a folder in all depths, named from the root, in order of their names part by part."""
        ...

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        ...

    def read(self, name: str) -> bytes: ...

    def span(self, name: str, start: int, length: int) -> bytes:
        """Read exactly these bytes of a file."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a file that can be sought in, for one thread."""
        ...


@dataclass(frozen=True)
class LocalFiles:
    """A folder of this machine."""

    root: Path

    @property
    def place(self) -> str:
        return str(self.root)

    def entries(self, folder: str = "") -> set[str]:
        with os.scandir(self.root / folder) as entries:
            return {f"{entry.name}/" if _is_folder(entry) else entry.name for entry in entries}

    def names(self, folder: str = "") -> Iterator[str]:
        return self._names(folder, (self.root / folder).resolve(), frozenset())

    def _names(self, folder: str, place: Path, around: frozenset[Path]) -> Iterator[str]:
        """The files below a folder that lies at `place`, `around` which are the folders that led there."""
        around |= {place}
        for name in sorted(self.entries(folder), key=lambda name: name.rstrip("/")):
            if not name.endswith("/"):
                yield folder + name
                continue
            path = self.root / folder / name
            target = path.resolve() if path.is_symlink() else place / name
            # A link that leads back would list the same files in ever greater depths.
            if target not in around and not place.is_relative_to(target):
                yield from self._names(folder + name, target, around)

    def size(self, name: str) -> int:
        return (self.root / name).stat().st_size

    def read(self, name: str) -> bytes:
        return inputs.read_bytes(self.root / name, inputs.IMAGE_LIMIT)

    def span(self, name: str, start: int, length: int) -> bytes:
        return require_length(inputs.read_part(self.root / name, start, length), length, f"{self.place}/{name}")

    def fetch_ahead(self, name: str, spans: Iterable[tuple[int, int]]) -> None:
        """Let the system read these parts of a file, which are read next, into its cache all at once."""
        with suppress(OSError), self.open(name) as file:  # reading it later reports the error
            platforms.fetch_ahead(file.fileno(), spans)

    def open(self, name: str) -> BinaryIO:
        return inputs.open_file(self.root / name)


@dataclass(frozen=True)
class Below:
    """A folder of other files; its name ends in `/`."""

    files: Files
    folder: str

    @property
    def place(self) -> str:
        return f"{self.files.place}/{self.folder.rstrip('/')}"

    def entries(self, folder: str = "") -> set[str]:
        return self.files.entries(self.folder + folder)

    def names(self, folder: str = "") -> Iterator[str]:
        return (name.removeprefix(self.folder) for name in self.files.names(self.folder + folder))

    def size(self, name: str) -> int:
        return self.files.size(self.folder + name)

    def read(self, name: str) -> bytes:
        return self.files.read(self.folder + name)

    def span(self, name: str, start: int, length: int) -> bytes:
        return self.files.span(self.folder + name, start, length)

    def open(self, name: str) -> BinaryIO:
        return self.files.open(self.folder + name)


@dataclass(frozen=True, slots=True)
class Stored:
    """The call that reads a file, or with a length, a part of one."""

    files: Files
    name: str
    start: int = 0
    length: int | None = None

    def __call__(self) -> bytes:
        """Read it; an OSError if that fails."""
        if self.length is None:
            return self.files.read(self.name)
        return self.files.span(self.name, self.start, self.length)


class Spans(io.RawIOBase):
    """A file that can be sought in and is read in spans."""

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._name = name
        self._size = files.size(name)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        length = max(0, min(len(buffer), self._size - self._position))
        if length:
            buffer[:length] = self._files.span(self._name, self._position, length)
            self._position += length
        return length


def buffered(files: Files, name: str) -> BinaryIO:
    """Open a file that can be sought in and that fetches a few large spans instead of many small ones."""
    return io.BufferedReader(Spans(files, name), BUFFER_BYTES)


def require_length(data: bytes, length: int, place: str) -> bytes:
    """Return the bytes if there are as many as were asked for.

    Raises:
        OSError: fewer, of a file that was cut; or more, from a server that cannot send parts.
    """
    if len(data) > length:
        raise OSError(f"the server of {place} sends whole files only; fetch the file first, and use its path")
    if len(data) < length:
        raise OSError(f"{place} ends early: {len(data)} bytes came where {length} were expected; fetch it again")
    return data


def sentence(error: OSError, place: str) -> str:
    """Say in a sentence what could not be read, and why; errors without a system's own text are sentences already."""
    if error.strerror is None:
        return str(error)
    name = error.filename or place
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist; check its spelling"
    return f"cannot read {name}: {error.strerror}; check the path and its permissions"


def exists(files: Files, name: str) -> bool:
    """Tell whether there is a file of this name, readable or not.

    Raises:
        OSError: its folder or server cannot be asked.
    """
    try:
        files.size(name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image; macOS' doubles of images are none."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(MAC_DOUBLE)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder. A pipe, or a link that leads nowhere, is none: it is listed as a file, so that
    it fails where it is read and does not go unnoticed."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or one of a circle
        return False
