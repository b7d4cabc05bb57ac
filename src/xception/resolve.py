"""A model by whatever names it: opened if it is a bundle, else fetched if need be, converted once, and kept.

look_up          where a name leads, without reading or fetching anything
└── local_path   the file or folder there, fetched if it lies elsewhere
    └── resolve_model  the bundle of it
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from xception.bundle import MANIFEST, Bundle, Model, open_bundle, read_description
from xception.convert.catalog import CATALOG, resolve_entry
from xception.convert.conversion import Conversion, convert_checkpoint
from xception.convert.hub import HUB, HUB_REFERENCE, OnProgress, fetch, is_address, is_fetched
from xception.convert.readers import Checkpoint, read_checkpoint
from xception.convert.readers.tensorbundle import index_path
from xception.convert.weights_entry import WeightsEntry
from xception.errors import EnvironmentFault, InputError, UnknownName, UsageError
from xception.machine import cache_folder
from xception.version import __version__

MODEL_FORMS = (
    "a bundle or a training run's folder; a checkpoint of any source; the name of published weights, "
    f"such as keras_xception.imagenet; {HUB}OWNER/NAME; a URL of a checkpoint"
)
"""All that names a model, in words."""

PACKAGE = Path(__file__).parent
OWNER_AND_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)

OnNote = Callable[[str], None]
"""Told in a sentence what was made."""


@dataclass(frozen=True, kw_only=True)
class ModelPlace:
    """The place that a name of a model leads to.

    Attributes:
        path: the file or folder on this machine; None if it is to be fetched.
        address: what `fetch` takes, for all that lies elsewhere.
        entry: the published weights that the name or address is one of.
        name: the model's name in results; None for that of its file.
    """

    path: Path | None = None
    address: str = ""
    entry: WeightsEntry | None = None
    name: str | None = None


def look_up(reference: str | Path) -> ModelPlace:
    """Find out where a name of a model leads; nothing is read or fetched. What lies here goes before all names.

    Raises:
        AmbiguousName: it is a part of the names of several published weights.
        InputError: there is nothing of that name; the sentence says what names a model, and the nearest name.
        UsageError: it is no name at all.
    """
    if not isinstance(reference, str | Path) or not str(reference):
        got = "an empty one" if isinstance(reference, str) else type(reference).__name__
        raise UsageError(f"a model is named by a path or a name; got {got}")
    text = str(reference)
    if is_address(text):
        return _at_address(text)
    path = Path(reference)
    if index_path(path).exists():
        return ModelPlace(path=path)
    if isinstance(reference, Path):
        raise _nothing_there(text)
    try:
        entry = resolve_entry(text)
    except UnknownName as error:
        raise _nothing_there(text) from error
    return ModelPlace(address=entry.name, entry=entry, name=entry.name)


def local_path(place: ModelPlace, on_progress: OnProgress = lambda *_: None) -> Path:
    """The model's file or folder, fetched if it lies elsewhere; `fetch` has the errors."""
    return place.path or fetch(place.address, on_progress=on_progress)


def resolve_model(
    reference: Bundle | str | Path,
    *,
    verify: bool = True,
    on_progress: OnProgress = lambda *_: None,
    on_note: OnNote = lambda _: None,
) -> Bundle:
    """Open a model by whatever names it, see `MODEL_FORMS`; a bundle that is open already is returned as it is.

    What is no bundle is converted into `bundles/` of the cache's folder, under a name made from the content of its
    files, so that the next call with the same files converts nothing.

    Args:
        reference: the model.
        verify: see `open_bundle`.
        on_progress: see `hub.OnProgress`.
        on_note: see `OnNote`.

    Raises:
        UsageError: no such name, a file that leaves something open, or something that is no name.
        InputError: there is nothing of that name, or it is no model that can be read.
        EnvironmentFault: it is to be fetched and cannot be, or the cache cannot be written.
        MissingExtra: it is to be fetched, and httpx is not installed.
    """
    if isinstance(reference, Bundle):
        return reference
    place = look_up(reference)
    path = local_path(place, on_progress)
    if holds_bundle(path):
        return open_bundle(path, verify=verify)
    checkpoint = _read(path)
    kept = cache_folder() / "bundles" / _key(checkpoint, place)
    return _open_kept(kept, verify=verify) or _convert(checkpoint, place, kept, str(reference), on_note)


def packages_to_get(reference: Bundle | str | Path) -> tuple[str, ...]:
    """The packages that getting a model needs, none if it is here; `look_up` has the errors."""
    if isinstance(reference, Bundle):
        return ()
    place = look_up(reference)
    return () if place.path or is_fetched(place.address) else ("httpx",)


def described_bundle(reference: Bundle | str | Path) -> Model | None:
    """The description of a bundle that is given or named by its folder, whose files may be broken; None for a model
    that may have to be converted."""
    if isinstance(reference, Bundle):
        return reference.model
    path = look_up(reference).path
    return read_description(path) if path and holds_bundle(path) else None


def holds_bundle(path: Path) -> bool:
    """Tell whether a folder is a bundle or a training run's."""
    return any((path / place).is_file() for place in (MANIFEST, f"bundle/{MANIFEST}"))


def _at_address(address: str) -> ModelPlace:
    published = next((entry for entry in CATALOG.values() if entry.reference == address), None)
    match = HUB_REFERENCE.fullmatch(address)
    name = published.name if published else match["model"].rpartition("/")[2] if match else None
    return ModelPlace(address=address, entry=published, name=name)


def _nothing_there(text: str) -> InputError:
    near = get_close_matches(text, CATALOG, n=1, cutoff=0.7)
    if OWNER_AND_NAME.fullmatch(text):
        near = [f"{HUB}{text}"]
    hint = f"did you mean {near[0]}? Expected" if near else "expected"
    return InputError(f"{text} does not exist; {hint} {MODEL_FORMS}")


def _read(path: Path) -> Checkpoint:
    try:
        return read_checkpoint(path)
    except InputError as error:
        if not path.is_dir():
            raise
        raise InputError(f"{path} is not a bundle, since it has no {MANIFEST}, and {error}") from error


def _key(checkpoint: Checkpoint, place: ModelPlace) -> str:
    """A name for the bundle of a checkpoint, made from all that decides what is in it."""
    facts = (
        *(__version__, _code(), checkpoint.file.checksums["sha256"], checkpoint.container, checkpoint.metadata),
        *(checkpoint.path.name, place.name, place.entry and place.entry.name),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """A digest of this package: another state of it may make another bundle of the same file."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _open_kept(kept: Path, *, verify: bool) -> Bundle | None:
    """The bundle that an earlier call made; None if there is none, or it is not whole."""
    try:
        return open_bundle(kept, verify=verify) if kept.exists() else None
    except InputError:
        return None


def _convert(checkpoint: Checkpoint, place: ModelPlace, kept: Path, reference: str, on_note: OnNote) -> Bundle:
    try:
        conversion = convert_checkpoint(checkpoint, entry=place.entry, name=place.name)
    except (InputError, UsageError) as error:
        if " --" not in str(error):
            raise
        kind = UsageError if isinstance(error, UsageError) else InputError
        advice = f"these are options of xception convert {reference} --out DIR, and DIR is then the model"
        raise kind(f"{error}; {advice}") from error
    bundle = _keep(conversion, kept)
    network = bundle.model.network
    on_note(f"{reference}: read as {network.variant} with {network.answers}; the bundle is kept in {kept}")
    return bundle


def _keep(conversion: Conversion, kept: Path) -> Bundle:
    # The rest of a bundle that somebody began to remove; a whole one appears at once, with its manifest.
    if kept.exists() and not (kept / MANIFEST).is_file():
        shutil.rmtree(kept, ignore_errors=True)
    try:
        return conversion.write(kept, overwrite=True)
    except EnvironmentFault as error:
        # Another process may have been faster, whose bundle is the same.
        made = _open_kept(kept, verify=True)
        if made is None:
            raise EnvironmentFault(f"{error}; XDG_CACHE_HOME names another folder for the cache") from error
        return made
