"""The manifest of a run: recipe, data and machine, as far as they decide the weights; enough to repeat the run."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from xception import inputs
from xception.bundle import check_version
from xception.data.hold_out import HoldOut
from xception.data.remote import is_remote
from xception.data.source import Source, data_fingerprint
from xception.data.sources import RUN_FILE, absolute
from xception.errors import InputError
from xception.machine import fingerprint
from xception.outputs import json_document
from xception.train.own_parts import digest_with
from xception.train.recipe import COURSE, PLACES, Recipe
from xception.train.setup import TrainingSetup
from xception.train.storage import Storage, open_storage
from xception.version import __version__

RUN_VERSION = 1

MAX_DIFFERENCES = 5
"""Settings that an error names."""


class PartFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name, size and fingerprint of the training or validation part of the data."""

    name: str
    images: int
    classes: int
    fingerprint: str
    """SHA-256 over the classes and over every image's name and class; not over the images themselves."""


class DataFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data of a run. Their places, which hold in every folder, open both parts again; None for data in memory."""

    source: str | None
    validation: str | None
    hold_out: HoldOut
    training_part: PartFacts
    validation_part: PartFacts


class EarlierLength(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The beginning of a run that was then given another length."""

    epochs: int
    """Epochs that it was to have."""
    until_step: int
    """Steps that were made with that length in view."""


class RunManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `run.json`."""

    recipe: Recipe
    """The resolved recipe: its file, the changes, and all defaults."""
    recipe_digest: str
    """Digest that stands for the recipe, and for the parts that a program brought along, in the bundle's lineage."""
    data: DataFacts
    start: str | None = None
    """The model that the run starts from; a path holds in every folder."""
    environment: dict[str, str | int]
    """Versions and machine, on which the last bits of the weights may depend."""
    device: str
    processes: int
    threads: int
    """Threads of torch in each process."""
    own_parts: dict[str, str] = {}
    """Name and hash of each part that a program brought along in place of the recipe's."""
    stages: tuple[EarlierLength, ...] = ()
    """Earlier lengths of the run, if it was prolonged."""
    format_version: int = RUN_VERSION

    @property
    def places(self) -> tuple[str | None, str | None, str | None]:
        """The places of the training images, of the validation images and of the start."""
        return self.data.source, self.data.validation, self.start


def settings_of(recipe: Recipe) -> dict[str, object]:
    """All settings by the names that `--set` takes, such as `optim.lr`."""
    return dict(_flat("", msgspec.to_builtins(recipe)))


def _flat(prefix: str, group: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in group.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def describe_run(recipe: Recipe, setup: TrainingSetup) -> RunManifest:
    """The manifest of a run that begins now on this machine."""
    places = (recipe.data.source, recipe.data.validation) if setup.in_files else (None, None)
    source, own_validation = (place and absolute(place) for place in places)
    return RunManifest(
        recipe=recipe,
        recipe_digest=digest_with(recipe.digest, setup.own_parts),
        own_parts=dict(setup.own_parts),
        data=DataFacts(
            source=source,
            validation=own_validation,
            hold_out=recipe.data.hold_out,
            training_part=_part_facts(setup.batches.source),
            validation_part=_part_facts(setup.validation),
        ),
        start=_absolute_start(recipe.model.start),
        environment=fingerprint("torch", "pillow") | {"numpy": version("numpy"), "xception": __version__},
        device=setup.fabric.device.type,
        processes=setup.fabric.world_size,
        threads=torch.get_num_threads(),
    )


def _absolute_start(start: str | None) -> str | None:
    return str(Path(start).absolute()) if start and Path(start).exists() else start


def _part_facts(source: Source) -> PartFacts:
    return PartFacts(
        name=source.name, images=len(source), classes=len(source.classes), fingerprint=data_fingerprint(source)
    )


def write_manifest(storage: Storage, manifest: RunManifest) -> None:
    """Write the manifest into the storage of its run."""
    storage.write(RUN_FILE, json_document(manifest))


def read_manifest(storage: Storage) -> RunManifest | None:
    """The manifest in a run's storage, if there is one.

    Raises:
        InputError: one that is not valid, or of another version.
    """
    try:
        content = storage.read(RUN_FILE)
    except FileNotFoundError:
        return None
    return _decode_manifest(content, f"{storage.place}/{RUN_FILE}")


def manifest_at(place: str) -> RunManifest:
    """The manifest that a user names: the file itself, or the folder or URL of its run.

    Raises:
        InputError: none there, or one that is not valid.
    """
    run = place.removesuffix(RUN_FILE).rstrip("/") or "."
    manifest = read_manifest(open_storage(run if is_remote(run) else Path(run)))
    if manifest is None:
        raise InputError(f"no {RUN_FILE} in {run}; expected the folder of a training run")
    return manifest


def check_same_recipe(found: RunManifest, here: RunManifest, place: str) -> None:
    """Refuse to go on with another recipe than that of the run found at `place`.

    Raises:
        InputError: the recipes differ; the error names the settings.
    """
    theirs, ours = (
        settings_of(manifest.recipe) | {f"the own {what}": part for what, part in manifest.own_parts.items()}
        for manifest in (found, here)
    )
    names = [name for name in sorted((theirs | ours).keys() - PLACES - COURSE) if theirs.get(name) != ours.get(name)]
    if not names:
        return
    differences = [f"{name} was {theirs.get(name)}, is {ours.get(name)}" for name in names]
    more = f" and {len(differences) - MAX_DIFFERENCES} more" * (len(differences) > MAX_DIFFERENCES)
    raise InputError(
        f"the run in {place} is of another recipe: {'; '.join(differences[:MAX_DIFFERENCES])}{more}; "
        "resume with the same recipe, or choose another place"
    )


def check_same_data(found: RunManifest, here: RunManifest, whose: str) -> None:
    """Refuse to go on with a run, or to repeat one, on other data; errors call that run `whose`.

    Raises:
        InputError: training or validation data differ; the error gives the numbers of images and classes.
    """
    for what in ("training", "validation"):
        theirs, ours = (getattr(manifest.data, f"{what}_part") for manifest in (found, here))
        if theirs.fingerprint != ours.fingerprint:
            raise InputError(
                f"the {what} data are not those of {whose}: {theirs.name} had {theirs.images} images of "
                f"{theirs.classes} classes, {ours.name} has {ours.images} of {ours.classes}, or others; pass --data "
                "with the place where the same images lie, or choose another place for a new run"
            )


def differing_surroundings(found: RunManifest, here: RunManifest) -> list[str]:
    """Differences between two runs in versions and machine, which may change the last bits of the weights."""
    theirs, ours = ({**m.environment, "device": m.device, "processes": m.processes} for m in (found, here))
    return [f"{key} was {theirs.get(key)}, is {ours.get(key)}" for key in theirs if theirs.get(key) != ours.get(key)]


def _decode_manifest(content: bytes, name: str) -> RunManifest:
    try:
        check_version(content, name, RUN_VERSION, "use the version of xception that wrote it")
        return inputs.parse_json(content, RunManifest)
    except msgspec.DecodeError as error:
        raise InputError(f"{name} is not a valid description of a run: {error}; start the run anew") from error
