"""The place of a run's files: a folder of this machine, or an object storage."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from xception import inputs
from xception.bundle import MANIFEST, Bundle, open_bundle
from xception.data.remote import filesystem, is_remote
from xception.errors import EnvironmentFault, InputError
from xception.outputs import FULL, LOCK, alone_in, clear_folder, write_file

T = TypeVar("T")


class Storage(Protocol):
    """A folder for the files of one run, by their plain names. All failures are an EnvironmentFault."""

    @property
    def place(self) -> str:
        """The name of the folder in messages."""
        ...

    def names(self) -> list[str]:
        """The files and folders in it, in order; none where it does not exist."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that its place always holds the old or the new content, whole."""
        ...

    def remove(self, name: str) -> None: ...

    def claim(self) -> None:
        """Make the folder if there is none, keep other processes from writing it until `close`, and remove what a
        killed one left half-written in it."""
        ...

    def close(self) -> None:
        """Let others write the folder again."""
        ...

    def publish(self, name: str, make: Callable[[Path], Bundle]) -> Bundle:
        """Store the bundle that `make` writes to a path under `name`, whole or not at all; returns a local copy."""
        ...

    def published(self, name: str) -> Bundle | None:
        """A local copy of the bundle under `name`, if there is one."""
        ...


def read_document(storage: Storage, name: str, kind: type[T], described: str) -> T | None:
    """A document of a run, from JSON; None if the run left none.

    Args:
        storage: the run's folder.
        name: the file.
        kind: what it holds.
        described: the same in words, for a message.

    Raises:
        InputError: the file holds something else.
    """
    try:
        return inputs.parse_json(storage.read(name), kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise InputError(f"{storage.place}/{name} holds no {described}: {error}; remove it") from error


def open_storage(place: Path | str) -> Storage:
    """The storage of a folder, or of a URL such as `s3://bucket/folder`.

    Raises:
        UsageError: a URL of no known kind.
        MissingExtra: the package for URLs is not installed.
    """
    return RemoteStorage(str(place)) if is_remote(str(place)) else LocalStorage(Path(place))


class LocalStorage:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = str(folder)
        self._claim = ExitStack()

    def names(self) -> list[str]:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.place} is a file; expected a folder for the run, or a name that is free")
        with _explained(self.place, "read"):
            found = os.listdir(self.folder) if self.folder.exists() else []  # noqa: PTH208 - only the names
        return sorted(name for name in found if name != LOCK)

    def read(self, name: str) -> bytes:
        with _explained(f"{self.place}/{name}", "read"):
            return inputs.read_bytes(self.folder / name, inputs.MODEL_LIMIT)

    def write(self, name: str, content: bytes) -> None:
        write_file(self.folder / name, content, then="resume")

    def remove(self, name: str) -> None:
        with _explained(f"{self.place}/{name}", "remove"):
            (self.folder / name).unlink(missing_ok=True)

    def claim(self) -> None:
        self._claim.enter_context(alone_in(self.folder, "training in"))
        with _explained(self.place, "clear"):
            clear_folder(self.folder)

    def close(self) -> None:
        self._claim.close()

    def publish(self, name: str, make: Callable[[Path], Bundle]) -> Bundle:
        return make(self.folder / name)

    def published(self, name: str) -> Bundle | None:
        return open_bundle(self.folder / name) if (self.folder / name).exists() else None


class RemoteStorage:
    """An object storage behind a URL, by way of fsspec. A file there is replaced whole; there is no renaming."""

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/")
        self._fs, self._root = filesystem(self.place, "write to")

    def names(self) -> list[str]:
        with _explained(self.place, "read"):
            self._fs.invalidate_cache()
            found = self._fs.find(self._root)
        return sorted({path.removeprefix(self._root).strip("/").split("/")[0] for path in found})

    def read(self, name: str) -> bytes:
        with _explained(f"{self.place}/{name}", "read"):
            return bytes(self._fs.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        with _explained(f"{self.place}/{name}", "write"):
            self._fs.pipe_file(f"{self._root}/{name}", content)

    def remove(self, name: str) -> None:
        with _explained(f"{self.place}/{name}", "remove"), suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def claim(self) -> None:
        """Nothing to do: there are no folders, nothing is ever half-written, and object storage has no locks."""

    def close(self) -> None:
        """Nothing to do."""

    def publish(self, name: str, make: Callable[[Path], Bundle]) -> Bundle:
        bundle = make(_scratch(name))
        files = sorted(path.name for path in bundle.path.iterdir())
        # A bundle is one once it has its document, so that this goes last.
        for file in sorted(files, key=lambda file: file == MANIFEST):
            self.write(f"{name}/{file}", inputs.read_bytes(bundle.path / file, inputs.MODEL_LIMIT))
        return bundle

    def published(self, name: str) -> Bundle | None:
        try:
            self.read(f"{name}/{MANIFEST}")
        except FileNotFoundError:
            return None
        folder = _scratch(name)
        with _explained(f"{self.place}/{name}", "read"):
            self._fs.get(f"{self._root}/{name}/", f"{folder}/", recursive=True)
        return open_bundle(folder, verify=True)


def _scratch(name: str) -> Path:
    """A temporary place for a bundle that belongs elsewhere; the system clears it away."""
    return Path(tempfile.mkdtemp(prefix="xception-")) / name


@contextmanager
def _explained(place: str, verb: str) -> Iterator[None]:
    """Turn whatever a system or a client library raises into one sentence; their errors share no base."""
    try:
        yield
    except FileNotFoundError:
        if verb != "write":
            raise
        raise EnvironmentFault(f"cannot write {place}: its folder or bucket does not exist; make it first") from None
    except Exception as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        kept = "; what was there is unchanged" if verb == "write" else ""
        raise EnvironmentFault(f"cannot {verb} {place}: {reason}{kept}; {_hint(error, verb)}") from error


def _hint(error: Exception, verb: str) -> str:
    if getattr(error, "errno", None) in FULL:
        return "make room and resume"
    if type(error).__name__ == "NoCredentialsError":
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return f"choose a place you may {verb}, and check the network if it is a remote one"
