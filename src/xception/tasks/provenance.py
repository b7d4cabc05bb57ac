"""The provenance of a result: models, data, every option that changes a figure, and where and when it was made."""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from PIL import Image

from xception.backends.base import BACKENDS
from xception.data.source import Item, Source, Target
from xception.machine import fingerprint
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess
from xception.version import __version__

FINGERPRINT_BITS = 256

BATCH_MATTERS = frozenset({"torch"})
"""Backends whose rounding differs from batch to batch."""


class JudgedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it ran."""

    name: str
    digest: str
    """Digest of the bundle's `model.json`, which holds the hashes of all its files."""
    form: str
    backend: str
    precision: str
    """Numbers of the computation."""
    batch: int | None
    """Images per inference, where figures depend on it."""
    pixels: str
    """The way from files to pixels."""
    preprocess: Preprocess
    """The preprocessing that was used, which may be another one than the bundle's."""


class JudgedData(msgspec.Struct, frozen=True, kw_only=True):
    """A data set as it was read."""

    name: str
    images: int
    fingerprint: str
    """Sum of the SHA-256 of every image's class and content: it depends neither on names nor on the order, so that the
    same images have the same one in every form of data. Where no images were read, `names:` and the SHA-256 of their
    names and classes."""


class CommandRun(msgspec.Struct, frozen=True, kw_only=True):
    """When and where a command was run, and the command: all that may differ between two equal results."""

    date: str
    """ISO 8601, in UTC."""
    folder: str
    """The folder that the paths in the command start from."""
    command: tuple[str, ...]
    """Empty for a program."""


def run_now(command: Iterable[str] = ()) -> CommandRun:
    """The run of a command, or of a program, at this moment in this folder."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return CommandRun(date=date, folder=str(Path.cwd()), command=tuple(command))


class ResultProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of a result; a second run with the same one, `run` aside, gives the same figures."""

    models: tuple[JudgedModel, ...]
    data: JudgedData
    options: dict[str, Any]
    """Every option of the task that changes a figure, by its name in Python."""
    machine: dict[str, str | int]
    versions: dict[str, str]
    run: CommandRun | None = None
    """None for a result that no command made."""


class DataFingerprint:
    """The fingerprint of a data set, summed up while its items are loaded."""

    def __init__(self, begun: int = 0) -> None:
        """Begin at the sum of fingerprints of other parts of the same data."""
        self._sum = begun
        self._lock = Lock()

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, each of which counts once, whenever it is loaded first."""
        return (Item(item.key, item.target, self._watched(item)) for item in items)

    def _watched(self, item: Item) -> Callable[[], bytes | Image.Image]:
        pending = [item.target]

        def load() -> bytes | Image.Image:
            content: bytes | Image.Image = b""
            try:
                content = item.load()
                return content
            finally:
                with self._lock:
                    is_first = bool(pending)
                    pending.clear()
                if is_first:
                    self._add(item.target, content)

        return load

    def _add(self, target: Target | None, content: bytes | Image.Image) -> None:
        digest = hashlib.sha256(f"{target}\n".encode())
        if isinstance(content, Image.Image):
            digest.update(f"{content.mode} {content.size}\n".encode())
            digest.update(content.tobytes())
        else:
            digest.update(content)
        with self._lock:
            self._sum += int.from_bytes(digest.digest())

    def __str__(self) -> str:
        return f"{self._sum % 2**FINGERPRINT_BITS:0{FINGERPRINT_BITS // 4}x}"


def provenance_of(
    engines: Iterable[Engine], source: Source, fingerprint_of_data: DataFingerprint, options: Mapping[str, Any]
) -> ResultProvenance:
    """The provenance of what engines made of a data set that was read to its end.

    Args:
        engines: the models as they ran.
        source: the data set.
        fingerprint_of_data: the one that watched its items.
        options: those of the task that change a figure.
    """
    models = tuple(map(model_facts, engines))
    data = JudgedData(name=source.name, images=len(source), fingerprint=str(fingerprint_of_data))
    return _provenance(models, data, options)


def provenance_of_answers(name: str, targets: Mapping[str, Target], options: Mapping[str, Any]) -> ResultProvenance:
    """The provenance of figures of answers that were read from files.

    Args:
        name: where the true classes come from.
        targets: the class or classes of each image, by its name.
        options: all that changes a figure, the answers' digest among it.
    """
    rows = "".join(sorted(f"{key}\0{target}\n" for key, target in targets.items()))
    named = hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()
    return _provenance((), JudgedData(name=name, images=len(targets), fingerprint=f"names:{named}"), options)


def _provenance(models: tuple[JudgedModel, ...], data: JudgedData, options: Mapping[str, Any]) -> ResultProvenance:
    machine = fingerprint()
    python = str(machine.pop("python"))
    return ResultProvenance(
        models=models,
        data=data,
        options=dict(options),
        machine=machine,
        versions={**versions_behind(models), "python": python},
    )


def versions_behind(models: Iterable[JudgedModel], *others: str) -> dict[str, str]:
    """The versions of all packages that the bytes of models' answers depend on, and of some others."""
    runtimes = sorted({BACKENDS[model.backend].package for model in models if model.backend in BACKENDS})
    return {"xception": __version__, **{name: version(name) for name in (*runtimes, "numpy", "pillow", *others)}}


def model_facts(engine: Engine) -> JudgedModel:
    """The model of an engine, as it runs."""
    model, backend = engine.bundle.model, engine.session.facts.name
    return JudgedModel(
        name=model.name,
        digest=model.digest,
        form=model.form,
        backend=backend,
        precision=engine.precision,
        batch=engine.batch_size if backend in BATCH_MATTERS else None,
        pixels=engine.lane.mode,
        preprocess=engine.lane.preprocess,
    )


def changed_facts(first: ResultProvenance, second: ResultProvenance) -> dict[str, tuple[Any, Any]]:
    """The facts that differ between two provenances, by their places such as `models.0.digest`; `run` aside."""
    ours, theirs = (flat(msgspec.structs.replace(each, run=None)) for each in (first, second))
    names = dict.fromkeys([*ours, *theirs])
    return {name: (ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)}


def flat(provenance: ResultProvenance) -> dict[str, Any]:
    """Every fact of a provenance by its place, such as `models.0.digest`; the words of a command are one fact."""
    return _leaves(msgspec.to_builtins(provenance), "")


def _leaves(value: object, place: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return {name: leaf for key, part in value.items() for name, leaf in _leaves(part, f"{place}.{key}").items()}
    if isinstance(value, list | tuple) and any(isinstance(part, dict) for part in value):
        return _leaves(dict(enumerate(value)), place)
    return {place.removeprefix("."): shlex.join(map(str, value)) if isinstance(value, list | tuple) else value}
