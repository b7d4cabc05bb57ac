"""What a run is made of, as far as it decides the weights: enough to make it again."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from xception import __version__
from xception.bundle import check_version
from xception.data.remote import is_remote
from xception.errors import InputError
from xception.machine import fingerprint
from xception.outputs import json_document
from xception.train.batches import Batches
from xception.train.recipe import Recipe
from xception.train.storage import Storage, open_storage

NAME = "run.json"
FORMAT_VERSION = 1

MAX_DIFFERENCES = 5


class DataFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training data."""

    name: str
    images: int
    classes: int
    fingerprint: str
    """SHA-256 over the classes and every image's name and class; not over the images themselves."""


class RunManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `run.json`."""

    recipe: Recipe
    """Resolved: what its file says, what was changed, and all defaults."""
    recipe_digest: str
    """By which the run's checkpoints and its bundle's lineage name the recipe."""
    data: DataFacts
    environment: dict[str, str | int]
    """Versions and the machine, on which the last bits of the weights may depend."""
    device: str
    processes: int
    threads: int
    """Of torch, in each process."""
    format_version: int = FORMAT_VERSION


def settings_of(recipe: Recipe) -> dict[str, object]:
    """All settings by their names, as `--set` takes them: `optim.lr`."""
    return dict(_flat("", msgspec.to_builtins(recipe)))


def _flat(prefix: str, group: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in group.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def manifest_of(recipe: Recipe, batches: Batches, device: str) -> RunManifest:
    """The manifest of a run that begins here and now."""
    source = batches.source
    return RunManifest(
        recipe=recipe,
        recipe_digest=recipe.digest,
        data=DataFacts(
            name=source.name, images=len(source), classes=len(source.classes), fingerprint=batches.fingerprint
        ),
        environment=fingerprint("torch", "pillow") | {"numpy": version("numpy"), "xception": __version__},
        device=device,
        processes=batches.world,
        threads=torch.get_num_threads(),
    )


def write_manifest(storage: Storage, manifest: RunManifest) -> None:
    """Put the manifest into a run's storage."""
    storage.write(NAME, json_document(manifest))


def read_manifest(storage: Storage) -> RunManifest | None:
    """The manifest in a run's storage, if there is one.

    Raises:
        InputError: one that is not valid, or of another version.
    """
    try:
        content = storage.read(NAME)
    except FileNotFoundError:
        return None
    return _decoded(content, f"{storage.place}/{NAME}")


def manifest_at(place: str) -> RunManifest:
    """The manifest that a user names: the file itself, or the folder or URL of its run.

    Raises:
        InputError: none there, or one that is not valid.
    """
    run = place.removesuffix(NAME).rstrip("/") or "."
    manifest = read_manifest(open_storage(run if is_remote(run) else Path(run)))
    if manifest is None:
        raise InputError(f"no {NAME} in {run}; expected the folder of a training run")
    return manifest


def check_same_recipe(found: RunManifest, recipe: Recipe, place: str) -> None:
    """Refuse to go on with another recipe.

    Raises:
        InputError: with the settings that differ.
    """
    ours, theirs = settings_of(found.recipe), settings_of(recipe)
    names = [name for name in sorted(ours | theirs) if ours.get(name) != theirs.get(name)]
    if not names:
        return
    differences = [f"{name} was {ours.get(name)}, is {theirs.get(name)}" for name in names]
    more = f" and {len(differences) - MAX_DIFFERENCES} more" * (len(differences) > MAX_DIFFERENCES)
    raise InputError(
        f"the run in {place} is of another recipe: {'; '.join(differences[:MAX_DIFFERENCES])}{more}; "
        "resume with the same recipe, or choose another place"
    )


def check_same_data(found: RunManifest, batches: Batches, whose: str) -> None:
    """Refuse to go on with a run, or to repeat one, on other data; `whose` says which run in the error.

    Raises:
        InputError: with how many images and classes there were and are.
    """
    if found.data.fingerprint != batches.fingerprint:
        source = batches.source
        raise InputError(
            f"the data are not those of {whose}: {found.data.name} had {found.data.images} images of "
            f"{found.data.classes} classes, {source.name} has {len(source)} of {len(source.classes)}, or others; "
            "pass --data with the place where the same images lie, or choose another place for a new run"
        )


def changes(found: RunManifest, here: RunManifest) -> list[str]:
    """What differs between two runs' surroundings, because of which their weights may differ in the last bits."""
    ours, theirs = ({**m.environment, "device": m.device, "processes": m.processes} for m in (found, here))
    return [f"{key} was {ours.get(key)}, is {theirs.get(key)}" for key in ours if ours.get(key) != theirs.get(key)]


def _decoded(content: bytes, name: str) -> RunManifest:
    try:
        check_version(content, name, FORMAT_VERSION, "use the version of xception that wrote it")
        return msgspec.json.decode(content, type=RunManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not a valid description of a run: {error}; start the run anew") from error
