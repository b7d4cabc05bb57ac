"""An object storage as the place of a result, by way of fsspec."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from xception.data.remote import ERROR_HINTS, filesystem, is_remote
from xception.data.store import LocalStore, Store
from xception.errors import EnvironmentFault
from xception.network import MIN_BYTES_PER_S, READ_TIMEOUT_S, TRANSFER_PAUSES_S, patiently
from xception.screen import without_credentials

T = TypeVar("T")

NO_CONDITIONS = frozenset({errno.ENOSYS, errno.ENOTSUP})
"""Errors of a storage that writes without looking only."""


def open_store(place: Path | str) -> Store:
    """The store at a folder, or at a URL such as `s3://bucket/folder`; nothing is made or asked.

    Raises:
        UsageError: a URL of no known kind.
        EnvironmentFault: the package for URLs is not installed.
    """
    return RemoteStore(str(place)) if is_remote(str(place)) else LocalStore(Path(place))


class RemoteStore:
    """A folder of an object storage. An object appears there whole, with the last byte of the one request that sends
    it, or of the last one where it is so large that it is sent in parts."""

    def __init__(self, url: str) -> None:
        """Prepare to use the folder at a URL, without a request to the server."""
        self._fs, root = filesystem(url.rstrip("/"), "write to")
        self.place = without_credentials(url.rstrip("/"))
        self._root = root.rstrip("/")

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; False, and nothing is changed, if it is.

        The storage itself decides between writers of one moment: the request has the header `If-None-Match: *`. Where
        it does not know this, the writer looks first, so that of two at the same moment both may write; the same bytes
        do no harm.
        """
        attempts = 0

        def send() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                self._send(name, content, mode="create")
            except FileExistsError:
                # An answer that was lost leaves it open who wrote the object; the same bytes say that it may be ours.
                return attempts > 1 and bool(self._fs.cat_file(f"{self._root}/{name}") == content)
            except OSError as error:
                if error.errno not in NO_CONDITIONS:
                    raise
                return self._create_after_a_look(name, content)
            return True

        return self._asked("write", name, send)

    def _create_after_a_look(self, name: str, content: bytes) -> bool:
        self._fs.invalidate_cache()
        if self._fs.exists(f"{self._root}/{name}"):
            return False
        self._send(name, content)
        return True

    def put(self, name: str, content: bytes) -> None:
        self._asked("write", name, lambda: self._send(name, content))

    def _send(self, name: str, content: bytes, **options: str) -> None:
        """Send an object once, in a time: the clients wait for ever for a server that takes it without a word."""
        limit_s = READ_TIMEOUT_S + len(content) / MIN_BYTES_PER_S
        bounds = {"timeout": limit_s} if self._fs.async_impl else {}
        try:
            self._fs.pipe_file(f"{self._root}/{name}", content, **options, **bounds)
        except TimeoutError as error:
            raise TimeoutError(f"the server did not take {len(content):,} bytes in {limit_s:.0f} s") from error

    def read(self, name: str) -> bytes:
        return bytes(self._asked("read", name, lambda: self._fs.cat_file(f"{self._root}/{name}")))

    def names(self) -> Iterator[str]:
        def listed() -> list[str]:
            self._fs.invalidate_cache()
            return list(self._fs.ls(self._root, detail=False))

        try:
            found = self._asked("read", "", listed)
        except FileNotFoundError:
            return iter(())
        return (path.removeprefix(self._root).strip("/") for path in found if path.strip("/") != self._root.strip("/"))

    def remove(self, name: str) -> None:
        try:
            self._asked("remove", name, lambda: self._fs.rm_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return

    def tidy(self) -> None:
        """Nothing to do: what was sent in part is not kept."""

    def _asked(self, verb: str, name: str, ask: Callable[[], T]) -> T:
        """The answer of the storage, which is asked again where that may help; its refusal as one sentence."""
        place = f"{self.place}/{name}".rstrip("/")
        try:
            return patiently(ask, TRANSFER_PAUSES_S)
        except FileNotFoundError as error:
            if verb != "write":
                raise FileNotFoundError(f"{place} does not exist; check its spelling, and the bucket") from error
            raise EnvironmentFault(
                f"cannot write {place}: there is no such bucket; make it, or check its name"
            ) from error
        except PermissionError as error:
            raise EnvironmentFault(
                f"cannot {verb} {place}: the credentials at hand do not allow it; check these"
            ) from error
        except Exception as error:  # the client libraries' errors share no base
            said = without_credentials(str(error)).rstrip(".") or type(error).__name__
            hint = ERROR_HINTS.get(type(error).__name__, "check the address and the network, and run the same again")
            raise EnvironmentFault(f"cannot {verb} {place}: {said}; {hint}") from error
