"""Checkpoints: the state of a run as bytes, and an index of those kept, newest first, which changes all at once."""

import hashlib
import re
from collections.abc import Callable, Set
from typing import Annotated

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from xception import inputs
from xception.bundle import check_version
from xception.errors import EnvironmentFault, InputError
from xception.outputs import json_document
from xception.train.figures import Figure, Rank, rank
from xception.train.state import Progress, TrainingState
from xception.train.storage import Storage

INDEX = "checkpoints.json"
INDEX_VERSION = 1
CHECKPOINT_NAME = re.compile(r"checkpoint-(?P<step>\d{9})-(?P<digest>[0-9a-f]{16})\.safetensors")
"""Name of a checkpoint, with the start of its SHA-256, so that a file is known to be whole without the index."""


class SavedState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kept state in the index."""

    file: Annotated[str, msgspec.Meta(pattern=f"^{CHECKPOINT_NAME.pattern}$")]
    step: int
    sha256: str
    size_bytes: int
    rank: Rank | None = None
    """Place among the epochs of the run, larger is better; None between validations."""


class CheckpointIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `checkpoints.json`: the kept states, newest first."""

    checkpoints: tuple[SavedState, ...]
    best: str | None
    """File of the state of the best epoch, the earliest of several."""
    format_version: int = INDEX_VERSION


class Checkpoints:
    """The kept states of a run in its storage: the last `keep` ones and the best.

    Args:
        storage: the run's files.
        keep: number of last states to keep.
        warn: called with a sentence on each broken state.
        figure: the figure of the validation part that decides which epoch is the best.
    """

    def __init__(self, storage: Storage, keep: int, warn: Callable[[str], None], figure: Figure = "top1") -> None:
        self._storage = storage
        self._keep = keep
        self._warn = warn
        self._figure = figure
        self._saved: tuple[SavedState, ...] = ()

    @property
    def newest(self) -> str | None:
        """Place of the last whole state."""
        return f"{self._storage.place}/{self._saved[0].file}" if self._saved else None

    def save(self, state: TrainingState) -> None:
        """Keep the state: write its file, then the index that names it, then remove superseded files.

        Raises:
            EnvironmentFault: it cannot be written; what was saved before is as it was.
        """
        content = encode(state)
        entry = self._entry(state.progress, content)
        self._storage.write(entry.file, content)
        saved = (entry, *(other for other in self._saved if other.file != entry.file))
        best = _best(saved)
        kept = tuple(other for place, other in enumerate(saved) if place < self._keep or other == best)
        index = CheckpointIndex(checkpoints=kept, best=best.file if best else None)
        self._storage.write(INDEX, json_document(index))
        self._saved = kept
        self._remove_all_but(kept)

    def load(self) -> tuple[str, bytes] | None:
        """The newest whole state with its name, or None if none was ever saved; warns of broken ones.

        Raises:
            InputError: states were saved, and none of them is whole.
        """
        listed = self._listed()
        found = self._newest_whole(listed)
        if found is None and listed:
            # A state that was written, and whose run was killed before it was listed, is known whole by its name.
            found = self._newest_whole(self._found(known={entry.file for entry in listed}))
        if found is None and listed:
            raise InputError(
                f"no checkpoint in {self._storage.place} is intact, including {listed[0].file}; restore one, "
                "or remove them all to start again"
            )
        return found

    def _newest_whole(self, states: tuple[SavedState, ...]) -> tuple[str, bytes] | None:
        for index, entry in enumerate(states):
            content = self._whole(entry)
            if content is not None:
                self._saved = states[index:]
                self._remove_all_but(states)
                return f"{self._storage.place}/{entry.file}", content
        return None

    def best(self) -> tuple[str, bytes] | None:
        """The state of the best epoch whose state is whole, with its name, or None if there is none."""
        for entry in sorted(_judged(self._saved), key=_order, reverse=True):
            content = self._whole(entry)
            if content is not None:
                return f"{self._storage.place}/{entry.file}", content
        return None

    def _listed(self) -> tuple[SavedState, ...]:
        """The states in the index; if that is lost, those that the names of the files tell of."""
        try:
            index = _decode_index(self._storage.read(INDEX), f"{self._storage.place}/{INDEX}")
        except FileNotFoundError:
            return self._found()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._warn(f"{self._storage.place}/{INDEX} is broken ({error}); taking the checkpoints that are there")
            return self._found()
        return index.checkpoints

    def _found(self, known: Set[str] = frozenset()) -> tuple[SavedState, ...]:
        """The states that the names of files tell of, without known ones, newest first."""
        names = (name for name in self._storage.names() if name not in known)
        matches = [match for match in map(CHECKPOINT_NAME.fullmatch, names) if match]
        entries = (
            SavedState(
                file=match[0],
                step=int(match["step"]),
                sha256=match["digest"],
                size_bytes=0,
                rank=self._rank_in(match[0]),
            )
            for match in matches
        )
        return tuple(sorted(entries, key=lambda entry: entry.step, reverse=True))

    def _rank_in(self, file: str) -> Rank | None:
        """The rank of a state by its own history; None where that cannot be read, of which `_whole` will warn."""
        try:
            progress, _ = _decode_state(self._storage.read(file), file)
        except (InputError, FileNotFoundError, EnvironmentFault):
            return None
        return self._rank(progress)

    def _rank(self, progress: Progress) -> Rank | None:
        last = progress.history[-1] if progress.history else None
        return rank(last, self._figure) if last and last.steps == progress.step else None

    def _entry(self, progress: Progress, content: bytes) -> SavedState:
        digest = hashlib.sha256(content).hexdigest()
        return SavedState(
            file=f"checkpoint-{progress.step:09d}-{digest[:16]}.safetensors",
            step=progress.step,
            sha256=digest,
            size_bytes=len(content),
            rank=self._rank(progress),
        )

    def _whole(self, entry: SavedState) -> bytes | None:
        """The content of a file, if it is what was written; otherwise warn and return None."""
        try:
            content = self._storage.read(entry.file)
        except (FileNotFoundError, EnvironmentFault) as error:
            reason = "it is missing" if isinstance(error, FileNotFoundError) else str(error)
        else:
            if hashlib.sha256(content).hexdigest().startswith(entry.sha256):
                return content
            reason = "its checksum is not that of what was written"
        self._warn(f"the checkpoint {self._storage.place}/{entry.file} is broken: {reason}; going back to another one")
        return None

    def _remove_all_but(self, kept: tuple[SavedState, ...]) -> None:
        files = {entry.file for entry in kept}
        for name in self._storage.names():
            if CHECKPOINT_NAME.fullmatch(name) and name not in files:
                self._storage.remove(name)


def _judged(saved: tuple[SavedState, ...]) -> list[SavedState]:
    return [entry for entry in saved if entry.rank is not None]


def _order(entry: SavedState) -> tuple[Rank, int]:
    return entry.rank or (), -entry.step


def _best(saved: tuple[SavedState, ...]) -> SavedState | None:
    return max(_judged(saved), key=_order, default=None)


def _decode_index(content: bytes, name: str) -> CheckpointIndex:
    check_version(content, name, INDEX_VERSION, "resume with the version of xception that wrote it")
    return inputs.parse_json(content, CheckpointIndex)


def encode(state: TrainingState) -> bytes:
    """The whole state as the bytes of one safetensors file; equal states give equal bytes."""
    if state.scaler is not None:
        state.progress.scaler = state.scaler.state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in _tensors(state).items()}
    return save(tensors, {"progress": msgspec.json.encode(state.progress).decode()})


def restore(state: TrainingState, content: bytes, name: str) -> None:
    """Take over the state in `content`, the bytes of a checkpoint that errors call `name`.

    Raises:
        InputError: the content is no checkpoint, or one of another recipe or other data.
    """
    progress, tensors = _decode_state(content, name)
    _check_same_run(state.progress, progress, name)
    state.progress = progress
    state.network.load_state_dict(_below("network/", tensors))
    if state.average is not None:
        state.average.load_state_dict(_below("average/", tensors))
    if state.scaler is not None and progress.scaler:
        state.scaler.load_state_dict(progress.scaler)
    for key, parameter in state.network.named_parameters():
        slots = _below(f"optimizer/{key}/", tensors)
        if slots:
            # Fused updates count their steps on the device, all others on the CPU.
            counts_at = parameter.device if state.optimizer.defaults.get("fused") else torch.device("cpu")
            state.optimizer.state[parameter] = {
                slot: _in_format_of(parameter, value, counts_at) for slot, value in slots.items()
            }


def _decode_state(content: bytes, name: str) -> tuple[Progress, dict[str, torch.Tensor]]:
    try:
        tensors = load(content)
        header = msgspec.json.decode(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return msgspec.json.decode(header["__metadata__"]["progress"], type=Progress), tensors
    except (SafetensorError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise InputError(f"the checkpoint {name} is broken ({error}); remove it to start again") from error


def _check_same_run(here: Progress, there: Progress, name: str) -> None:
    if here.classes != there.classes:
        raise InputError(
            f"the checkpoint {name} is of data with {there.classes} classes, these have {here.classes}; "
            "resume with the same data, or choose another place"
        )
    for what in ("recipe", "data"):
        if getattr(here, what) != getattr(there, what):
            raise InputError(
                f"the checkpoint {name} is of another {what}; resume with the same {what}, or choose another place"
            )


def _tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    tensors = {f"network/{name}": tensor for name, tensor in state.network.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in state.average.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(value)
    return tensors


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _in_format_of(parameter: torch.Tensor, slot: torch.Tensor, counts_at: torch.device) -> torch.Tensor:
    """The slot in its parameter's memory format, which decides the order of sums in later steps."""
    if slot.shape != parameter.shape:
        return slot.to(counts_at)
    return torch.empty_like(parameter, requires_grad=False).copy_(slot)
