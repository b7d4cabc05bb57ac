"""Which states of a run are kept: the manifest names the whole ones, newest first, and changes all at once."""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated

import msgspec

from xception.bundle import check_version
from xception.errors import EnvironmentFault, InputError
from xception.outputs import json_document
from xception.train.state import TrainingState, encoded
from xception.train.storage import Storage

MANIFEST = "checkpoints.json"
FORMAT_VERSION = 1
NAME = re.compile(r"checkpoint-(?P<step>\d{9})-(?P<digest>[0-9a-f]{16})\.safetensors")
"""The name holds the start of the content's SHA-256, so that a file is known to be whole without the manifest."""


class Saved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kept state."""

    file: Annotated[str, msgspec.Meta(pattern=f"^{NAME.pattern}$")]
    step: int
    sha256: str
    size_bytes: int
    validation_top1: float | None
    """A fraction; None between validations."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All kept states, newest first."""

    checkpoints: tuple[Saved, ...]
    best: str | None
    """File of the highest validation accuracy, the earliest of several."""
    format_version: int = FORMAT_VERSION


class Checkpoints:
    """The states of a run in its storage: the last `keep` ones and the best."""

    def __init__(self, storage: Storage, keep: int, warn: Callable[[str], None]) -> None:
        self._storage = storage
        self._keep = keep
        self._warn = warn
        self._saved: tuple[Saved, ...] = ()

    @property
    def newest(self) -> str | None:
        """Where the last whole state lies."""
        return f"{self._storage.place}/{self._saved[0].file}" if self._saved else None

    def save(self, state: TrainingState) -> None:
        """Keep the state: its file first, then the manifest that names it, and then superseded files go.

        Raises:
            EnvironmentFault: it cannot be written; what was saved before is as it was.
        """
        content = encoded(state)
        entry = _entry(state, content)
        self._storage.write(entry.file, content)
        saved = (entry, *(other for other in self._saved if other.file != entry.file))
        best = _best(saved)
        kept = tuple(other for index, other in enumerate(saved) if index < self._keep or other == best)
        manifest = Manifest(checkpoints=kept, best=best.file if best else None)
        self._storage.write(MANIFEST, json_document(manifest))
        self._saved = kept
        self._remove_all_but(kept)

    def load(self) -> tuple[str, bytes] | None:
        """The newest whole state with its name, or None where none was ever saved; says which ones are broken.

        Raises:
            InputError: states were saved, and none of them is whole.
        """
        listed = self._listed()
        for index, entry in enumerate(listed):
            content = self._whole(entry)
            if content is not None:
                self._saved = listed[index:]
                self._remove_all_but(listed)
                return f"{self._storage.place}/{entry.file}", content
        if listed:
            raise InputError(
                f"no checkpoint in {self._storage.place} is whole, {listed[0].file} neither; get one back, "
                "or remove them all to start again"
            )
        return None

    def best(self) -> tuple[str, bytes] | None:
        """The state of the highest validation accuracy with its name, or None where there is none, or it is broken."""
        entry = _best(self._saved)
        content = self._whole(entry) if entry else None
        return (f"{self._storage.place}/{entry.file}", content) if entry and content is not None else None

    def _listed(self) -> tuple[Saved, ...]:
        """What the manifest says; where it is lost, what the names of the files say."""
        try:
            manifest = _decoded(self._storage.read(MANIFEST), f"{self._storage.place}/{MANIFEST}")
        except FileNotFoundError:
            return self._found()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._warn(f"{self._storage.place}/{MANIFEST} is broken ({error}); taking the checkpoints that are there")
            return self._found()
        return manifest.checkpoints

    def _found(self) -> tuple[Saved, ...]:
        matches = [match for match in map(NAME.fullmatch, self._storage.names()) if match]
        entries = (
            Saved(file=match[0], step=int(match["step"]), sha256=match["digest"], size_bytes=0, validation_top1=None)
            for match in matches
        )
        return tuple(sorted(entries, key=lambda entry: entry.step, reverse=True))

    def _whole(self, entry: Saved) -> bytes | None:
        """The content of a file, if it is what was written; a warning if not."""
        try:
            content = self._storage.read(entry.file)
        except (FileNotFoundError, EnvironmentFault) as error:
            reason = "it is missing" if isinstance(error, FileNotFoundError) else str(error)
        else:
            if hashlib.sha256(content).hexdigest().startswith(entry.sha256):
                return content
            reason = "its checksum is not that of what was written"
        self._warn(
            f"the checkpoint {self._storage.place}/{entry.file} is broken: {reason}; going back to the one before"
        )
        return None

    def _remove_all_but(self, kept: tuple[Saved, ...]) -> None:
        files = {entry.file for entry in kept}
        for name in self._storage.names():
            if NAME.fullmatch(name) and name not in files:
                self._storage.remove(name)


def _entry(state: TrainingState, content: bytes) -> Saved:
    progress, digest = state.progress, hashlib.sha256(content).hexdigest()
    last = progress.history[-1] if progress.history else None
    return Saved(
        file=f"checkpoint-{progress.step:09d}-{digest[:16]}.safetensors",
        step=progress.step,
        sha256=digest,
        size_bytes=len(content),
        validation_top1=last.validation_top1 if last and last.steps == progress.step else None,
    )


def _best(saved: tuple[Saved, ...]) -> Saved | None:
    judged = [entry for entry in saved if entry.validation_top1 is not None]
    return max(judged, key=lambda entry: (entry.validation_top1, -entry.step), default=None)


def _decoded(content: bytes, name: str) -> Manifest:
    check_version(content, name, FORMAT_VERSION, "resume with the version of xception that wrote it")
    return msgspec.json.decode(content, type=Manifest)
