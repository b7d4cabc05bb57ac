"""The place of a result of many objects: each appears under its name whole or not at all."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xception import platforms
from xception.errors import EnvironmentFault
from xception.inputs import RESULTS_LIMIT, read_bytes
from xception.outputs import PARTIAL, cannot_write, fill_file, has_lock


class Store(Protocol):
    """Objects by flat names. Any number of processes, on any number of machines, may use one store at once.

    A place that cannot be used is an EnvironmentFault; what is in it stays whole.
    """

    @property
    def place(self) -> str:
        """The folder or URL, in messages."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; False, and nothing is changed, if it is."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write an object, or replace it; who reads meanwhile sees the old one or the new one."""
        ...

    def read(self, name: str) -> bytes:
        """Read a whole object.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        ...

    def names(self) -> Iterator[str]:
        """The names of all objects, in any order; none of a place that is not there yet."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def tidy(self) -> None:
        """Remove the incomplete objects of killed processes, and make all others safe from a power failure.

        Until then one may undo the last objects, each of them as a whole.
        """
        ...


@dataclass(frozen=True)
class LocalStore:
    """A folder of this machine, or one that several machines share."""

    root: Path

    @property
    def place(self) -> str:
        return str(self.root)

    def create(self, name: str, content: bytes) -> bool:
        return self._write(name, content, _take_free_place)

    def put(self, name: str, content: bytes) -> None:
        self._write(name, content, _take_place)

    def _write(self, name: str, content: bytes, take: Callable[[Path, Path], bool]) -> bool:
        """Write a file of this writer's own, so that none waits for another, and let it take its place.

        Its content is on the disk before it has its name, unless it is a mark, which has none; the name gets there by
        itself, or with `tidy`: waiting for it would double the price of an object.
        """
        place = self.root / name
        partial = self.root / f".{name}.{secrets.token_hex(4)}{PARTIAL}"
        try:
            self._make_root()
            with partial.open("xb", buffering=0) as file:
                has_lock(file)
                fill_file(file, content, sync=bool(content))
                if not platforms.RENAMES_OPEN_FILES:
                    file.close()
                has_taken = take(partial, place)
        except OSError as error:
            raise cannot_write(place, error, "what was there is unchanged", "run the same again") from error
        finally:
            with suppress(OSError):  # renamed already, or never made
                partial.unlink()
        return has_taken

    def _make_root(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise EnvironmentFault(f"{self.root} is there already and no folder; choose another place") from error

    def read(self, name: str) -> bytes:
        return read_bytes(self.root / name, RESULTS_LIMIT)

    def names(self) -> Iterator[str]:
        if self.root.is_dir():
            yield from (path.name for path in self.root.iterdir() if path.name[0] != "." and path.is_file())

    def remove(self, name: str) -> None:
        place = self.root / name
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"cannot remove {place}: {error.strerror}; remove it yourself") from error

    def tidy(self) -> None:
        for partial in self.root.glob(f".*{PARTIAL}"):
            with suppress(OSError), partial.open("ab") as file:
                if has_lock(file):
                    partial.unlink()
        platforms.sync_folder(self.root)


def _take_place(partial: Path, place: Path) -> bool:
    partial.replace(place)
    return True


def _take_free_place(partial: Path, place: Path) -> bool:
    """Give a written file its name; False if there is a file of this name."""
    try:
        os.link(partial, place)
    except FileExistsError:
        return False
    except OSError:  # A file system without links, where two writers of one moment cannot be told apart.
        return not place.exists() and _take_place(partial, place)
    return True
