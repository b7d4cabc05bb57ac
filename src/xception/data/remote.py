"""Files behind a URL, by way of fsspec: s3, http and others."""

import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, unquote, urlsplit

from xception.data.files import buffered, require_length
from xception.data.s3_reads import S3Reads
from xception.errors import EnvironmentFault, UsageError, XceptionError, install_command
from xception.extras import require
from xception.network import WEB, bounded_client, check_address, is_passing, patiently, refuse_offline
from xception.screen import without_credentials

T = TypeVar("T")

S3 = ("s3", "s3a")

PROTOCOLS = (*S3, *WEB, "gs", "gcs", "az", "abfs", "file")
"""The kinds of URLs that are read, and written where they are storage."""

UNQUOTED = "/?&=+:%~,@!$'()*;[]"
"""Characters of a name that are not quoted in a URL: they have a meaning there, or begin a quoted one."""

ERROR_HINTS = {
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true where all may"
}


REFUSED_CREDENTIALS = frozenset(
    {
        *("ExpiredToken", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken", "RequestTimeTooSkewed"),
        *("SignatureDoesNotMatch", "TokenRefreshRequired"),
    }
)
"""Codes of S3 servers that refuse the credentials themselves, whatever is asked for with them."""


class Unreachable(OSError):
    """A server that gave no answer to any attempt, or does not take the credentials, whatever it has."""


def is_remote(place: str) -> bool:
    """Tell whether a place is a URL or a chain of them."""
    return "://" in place or "::" in place


def packages_for_files(*places: str) -> tuple[str, ...]:
    """The packages that reading files needs, by the places of the files."""
    return ("fsspec",) if any(map(is_remote, places)) else ()


def filesystem(url: str, verb: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the root there; `verb` completes "cannot ... URL". No server is asked.

    fsspec knows many more kinds of URLs than are taken here. Some of them run what the URL, or a file there, says.

    Raises:
        UsageError: a URL of no known kind.
        EnvironmentFault: the package for this kind is not installed, or `XCEPTION_OFFLINE` is set.
    """
    protocol, shown = url.partition("://")[0], without_credentials(url)
    if protocol not in PROTOCOLS or "::" in url:
        raise UsageError(
            f"cannot {verb} {shown}: it is no URL of a kind that is known here ({', '.join(PROTOCOLS)}); "
            "expected a URL such as s3://bucket/folder"
        )
    if protocol in S3 and "@" in urlsplit(url).netloc:
        raise UsageError(
            f"cannot {verb} {shown}: a URL of S3 has no place for credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if protocol != "file":
        refuse_offline(url)
    if protocol in WEB:
        check_address(url)
    core = require("fsspec.core", "cloud")
    try:
        fs, root = core.url_to_fs(url, **_options(protocol))
    except ImportError as error:
        raise EnvironmentFault(
            f"cannot {verb} {shown}: {error}; for s3 and http, run: {install_command('cloud')}"
        ) from error
    except ValueError as error:
        raise UsageError(f"cannot {verb} {shown}: {error}; expected a URL such as s3://bucket/folder") from error
    if protocol in S3:
        fs.retries = 1
    return fs, root


def _options(protocol: str) -> dict[str, Any]:
    """Settings of a file system that make `patiently` the only one that asks a server again."""
    if protocol in WEB:
        return {"get_client": bounded_client}
    return {"config_kwargs": {"retries": {"total_max_attempts": 1}}} if protocol in S3 else {}


class RemoteFiles:
    """The files below a URL."""

    def __init__(self, url: str) -> None:
        """Prepare to read, without a request to the server.

        Raises:
            UsageError: a URL of no known kind.
            EnvironmentFault: the package for this kind is not installed.
        """
        self.place = without_credentials(url.rstrip("/"))
        self._url = url.rstrip("/")
        self._connect()
        self._fs.invalidate_cache()

    def _connect(self) -> None:
        """Open the file system in this process."""
        self._process = os.getpid()
        self._opened, root = filesystem(self._url, "read")
        self._root = root.rstrip("/")
        self._is_web = self._root.startswith(("http://", "https://"))
        self._quick = S3Reads(self._opened) if self._url.partition("://")[0] in S3 else None

    @property
    def _fs(self) -> Any:
        """The file system; another one in a fork, which has none of the threads of the process before it."""
        if self._process != os.getpid():
            self._connect()
        return self._opened

    def entries(self, folder: str = "") -> set[str]:
        path = self._path(folder).rstrip("/") + "/" * self._is_web
        paths = self._quick.entries(path) if self._quick else None
        if paths is None:
            rows = _asked(f"{self.place}/{folder}", lambda: self._fs.ls(path, detail=True))
            paths = {row["name"].rstrip("/") + "/" * (row["type"] == "directory") for row in rows}
        found = {self._name(path) + "/" * path.endswith("/") for path in paths}
        return {name.removeprefix(folder) for name in found if name.startswith(folder) and name != folder}

    def names(self, folder: str = "") -> Iterator[str]:
        path = self._path(folder).rstrip("/") + "/" * self._is_web
        paths = self._quick.paths(path) if self._quick else None
        if paths is None:
            paths = set(_asked(f"{self.place}/{folder}", lambda: self._fs.find(path)))
        names = (self._name(path) for path in paths if not path.endswith("/"))
        return iter(sorted(names, key=lambda name: name.split("/")))

    def size(self, name: str) -> int:
        size = _asked(f"{self.place}/{name}", lambda: self._fs.size(self._path(name)))
        if size is None:
            raise OSError(f"the server of {self.place}/{name} does not tell its size; fetch it first, and use its path")
        return int(size)

    def read(self, name: str) -> bytes:
        path = self._path(name)
        if self._quick and (found := self._quick.read(path)) is not None:
            return found
        # Unless it is told to send one request, s3fs first asks for the size.
        options = {"max_concurrency": 1} if self._quick else {}
        return bytes(_asked(f"{self.place}/{name}", lambda: self._fs.cat_file(path, **options)))

    def span(self, name: str, start: int, length: int) -> bytes:
        if not length:
            return b""
        path, end = self._path(name), start + length
        found = self._quick.read(path, start, end) if self._quick else None
        if found is not None and len(found) == length:
            return found
        data = _asked(f"{self.place}/{name}", lambda: self._fs.cat_file(path, start=start, end=end))
        return require_length(bytes(data), length, f"{self.place}/{name}")

    def open(self, name: str) -> BinaryIO:
        return buffered(self, name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe=UNQUOTED) if self._is_web else name}"

    def _name(self, path: str) -> str:
        name = path.removeprefix(self._root).strip("/")
        return unquote(name) if self._is_web else name


def _asked(place: str, ask: Callable[[], T]) -> T:
    """The answer of a server, which is asked again where that may help; any error of a client library becomes an
    OSError of one sentence, since they share no base."""
    try:
        return patiently(ask)
    except FileNotFoundError as error:
        if is_passing(error):
            raise _failure(place, error.__cause__ or error) from error
        raise FileNotFoundError(f"{place} does not exist; check its spelling, and the bucket or server") from error
    except PermissionError as error:
        refusal = Unreachable if _refusal(error) in REFUSED_CREDENTIALS else PermissionError
        raise refusal(f"{place} may not be read with the credentials at hand; check these") from error
    except XceptionError as error:  # a redirect that is not followed
        raise OSError(str(error)) from error
    except Exception as error:
        raise _failure(place, error) from error


def _failure(place: str, error: BaseException) -> OSError:
    hint = ERROR_HINTS.get(type(error).__name__, "check the address, the network and the credentials")
    said = without_credentials(str(error)) or type(error).__name__
    is_of_all = is_passing(error) or type(error).__name__ in ERROR_HINTS or _refusal(error) in REFUSED_CREDENTIALS
    kind = Unreachable if is_of_all else OSError
    return kind(f"cannot read {place}: {said}; {hint}")


def _refusal(error: BaseException) -> str | None:
    """The code of an S3 server's refusal, which the error holds that this one was made of."""
    response = getattr(error.__cause__, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None
