"""Files behind a URL, by way of fsspec: s3, http and others, also chained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from xception.data.files import buffered, require_length
from xception.errors import EnvironmentFault, UsageError, install_command
from xception.extras import require

UNQUOTED = "/?&=+:%~,@!$'()*;[]"
"""Characters of a name that are not quoted in a URL: they have a meaning there, or begin a quoted one."""

ERROR_HINTS = {
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true where all may"
}


def is_remote(place: str) -> bool:
    """Tell whether a place is a URL or a chain of them."""
    return "://" in place or "::" in place


def packages_for_files(*places: str) -> tuple[str, ...]:
    """The packages that reading files needs, by the places of the files."""
    return ("fsspec",) if any(map(is_remote, places)) else ()


def filesystem(url: str, verb: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the root there; `verb` completes "cannot ... URL". No server is asked.

    Raises:
        UsageError: a URL of no known kind.
        EnvironmentFault: the package for this kind is not installed.
    """
    core = require("fsspec.core", "cloud")
    try:
        fs, root = core.url_to_fs(url)
    except ImportError as error:
        raise EnvironmentFault(
            f"cannot {verb} {url}: {error}; for s3 and http, run: {install_command('cloud')}"
        ) from error
    except ValueError as error:
        raise UsageError(f"cannot {verb} {url}: {error}; expected a URL such as s3://bucket/folder") from error
    return fs, root


class RemoteFiles:
    """The files below a URL."""

    def __init__(self, url: str) -> None:
        """Prepare to read, without a request to the server.

        Raises:
            UsageError: a URL of no known kind.
            EnvironmentFault: the package for this kind is not installed.
        """
        self.place = url.rstrip("/")
        self._fs, root = filesystem(self.place, "read")
        self._root = root.rstrip("/")
        self._is_web = self._root.startswith(("http://", "https://"))
        self._fs.invalidate_cache()

    def entries(self, folder: str = "") -> set[str]:
        with _explained(f"{self.place}/{folder}"):
            rows = self._fs.ls(self._path(folder).rstrip("/") + "/" * self._is_web, detail=True)
        found = {self._name(row["name"]) + "/" * (row["type"] == "directory") for row in rows}
        return {name.removeprefix(folder) for name in found if name.startswith(folder) and name != folder}

    def names(self, folder: str = "") -> Iterator[str]:
        with _explained(f"{self.place}/{folder}"):
            found = self._fs.find(self._path(folder).rstrip("/") + "/" * self._is_web)
        names = (self._name(path) for path in found if not path.endswith("/"))
        return iter(sorted(names, key=lambda name: name.split("/")))

    def size(self, name: str) -> int:
        with _explained(f"{self.place}/{name}"):
            size = self._fs.size(self._path(name))
        if size is None:
            raise OSError(f"the server of {self.place}/{name} does not tell its size; fetch it first, and use its path")
        return int(size)

    def read(self, name: str) -> bytes:
        with _explained(f"{self.place}/{name}"):
            return bytes(self._fs.cat_file(self._path(name)))

    def span(self, name: str, start: int, length: int) -> bytes:
        if not length:
            return b""
        with _explained(f"{self.place}/{name}"):
            data = self._fs.cat_file(self._path(name), start=start, end=start + length)
        return require_length(bytes(data), length, f"{self.place}/{name}")

    def open(self, name: str) -> BinaryIO:
        return buffered(self, name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe=UNQUOTED) if self._is_web else name}"

    def _name(self, path: str) -> str:
        name = path.removeprefix(self._root).strip("/")
        return unquote(name) if self._is_web else name


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Turn any error of a client library into an OSError of one sentence: they share no base."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{place} does not exist; check its spelling, and the bucket or server") from error
    except PermissionError as error:
        raise PermissionError(f"{place} may not be read with the credentials at hand; check these") from error
    except Exception as error:
        hint = ERROR_HINTS.get(type(error).__name__, "check the address, the network and the credentials")
        raise OSError(f"cannot read {place}: {error or type(error).__name__}; {hint}") from error
