"""Models by their names: a bundle is opened; anything else is fetched, converted once and kept.

look_up          where a name leads, without reading or fetching anything
└── local_path   the file or folder there, fetched if it lies elsewhere
    └── resolve_model  the bundle of it
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xception import inputs
from xception.adoption.adopt import Adoption, adopt
from xception.bundle import MANIFEST, Bundle, Model, open_bundle, read_description
from xception.convert.catalog import CATALOG, resolve_entry
from xception.convert.checksum import checksums
from xception.convert.conversion import Conversion, convert_checkpoint
from xception.convert.hub import HUB, HUB_REFERENCE, OnProgress, fetch, is_address, is_fetched
from xception.convert.readers import Checkpoint, graph_form, read_checkpoint
from xception.convert.readers.binary import load_file
from xception.convert.readers.tensorbundle import index_path
from xception.convert.weights_entry import WeightsEntry
from xception.data.files import exists, sentence
from xception.data.remote import RemoteFiles, is_remote, packages_for_files
from xception.errors import EnvironmentFault, InputError, UnknownName, UsageError, XceptionError
from xception.forms import FORMS, Form, describable
from xception.machine import cache_folder
from xception.sealed import is_plain
from xception.version import __version__

MODEL_FORMS = (
    "a bundle or a training run's folder, a checkpoint of any source, an ONNX, OpenVINO or LiteRT file, the name of "
    f"published weights such as keras_xception.imagenet, {HUB}OWNER/NAME, or a URL"
)
"""All that names a model, in words."""

GRAPH_FILES = frozenset(FORMS[form].files[0] for form in describable().values())
"""Names of the graph files in bundles."""

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
    """Find out where a name of a model leads; nothing is read or fetched. Local files take precedence.

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
    if is_remote(text):
        return ModelPlace(address=text)
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
    if place.path is None and is_in_storage(place.address):
        return _stored_bundle(place.address)
    return place.path or fetch(place.address, on_progress=on_progress)


def is_in_storage(address: str) -> bool:
    """Tell whether an address is that of a bundle or a run in an object storage, and not of a hub or a web server."""
    return is_remote(address) and not is_address(address)


def _stored_bundle(address: str) -> Path:
    """A temporary copy of a bundle, or of the bundle of a run, in an object storage.

    Raises:
        InputError: there is none.
        EnvironmentFault: it cannot be read.
    """
    files = RemoteFiles(address)
    folder = next((inner for inner in ("", "bundle/") if exists(files, f"{inner}{MANIFEST}")), None)
    if folder is None:
        raise InputError(f"there is no bundle at {files.place}; expected that of a bundle, or of a training run")
    copy = Path(tempfile.mkdtemp(prefix="xception-")) / "bundle"
    copy.mkdir()
    try:
        for name in files.entries(folder):
            if is_plain(name):
                (copy / name).write_bytes(files.read(f"{folder}{name}"))
    except OSError as error:
        raise EnvironmentFault(f"{sentence(error, address)}; get the bundle by other means") from error
    return copy


def resolve_model(
    reference: Bundle | str | Path,
    *,
    verify: bool = True,
    on_progress: OnProgress = lambda *_: None,
    on_note: OnNote = lambda _: None,
) -> Bundle:
    """Open a model by whatever names it, see `MODEL_FORMS`; a bundle that is open already is returned as it is.

    What is no bundle is converted or adopted into `bundles/` of the cache's folder, under a name made from the content
    of its files, so that the next call with the same files converts nothing.

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
    if folder := bundle_folder(path):
        return open_bundle(folder, verify=verify)
    found = _adopted(path, place, str(reference)) if graph_form(path) else _read(path)
    key = _key_of_graph(found) if isinstance(found, Adoption) else _key(found, place)
    kept = cache_folder() / "bundles" / key
    opened = _open_kept(kept, verify=verify)
    if opened is None:
        opened = _keep(found if isinstance(found, Adoption) else _converted(found, place, str(reference)), kept)
        network = opened.model.network
        kind = network.variant or "a graph"
        on_note(f"{reference}: read as {kind} with {network.answers}; the bundle is kept in {kept}")
    return opened


def packages_to_get(reference: Bundle | str | Path) -> tuple[str, ...]:
    """The packages that getting a model needs, none if it is here; `look_up` has the errors."""
    if isinstance(reference, Bundle):
        return ()
    place = look_up(reference)
    if place.path is None and is_in_storage(place.address):
        return packages_for_files(place.address)
    return () if place.path or is_fetched(place.address) else ("httpx",)


def described_bundle(reference: Bundle | str | Path) -> Model | None:
    """The description of a bundle that is given or named by its folder, whose files may be broken; None for a model
    that may have to be converted."""
    if isinstance(reference, Bundle):
        return reference.model
    path = look_up(reference).path
    folder = bundle_folder(path) if path else None
    return read_description(folder) if folder else None


def bundle_folder(path: Path) -> Path | None:
    """The folder of a bundle or a training run that a path names, itself or by its graph file; None for all else."""
    if any((path / place).is_file() for place in (MANIFEST, f"bundle/{MANIFEST}")):
        return path
    is_inside = path.name in GRAPH_FILES and (path.parent / MANIFEST).is_file()
    return path.parent if is_inside and path.is_file() else None


def form_here(reference: str | Path) -> Form | None:
    """The form of a graph that lies here; None for all else. `look_up` has the errors."""
    path = look_up(reference).path
    return graph_form(path) if path else None


def _at_address(address: str) -> ModelPlace:
    published = next((entry for entry in CATALOG.values() if entry.reference == address), None)
    match = HUB_REFERENCE.fullmatch(address)
    name = published.name if published else match["model"].rpartition("/")[2] if match else None
    return ModelPlace(address=address, entry=published, name=name)


def _nothing_there(text: str) -> InputError:
    names = [f"{HUB}{text}"] if OWNER_AND_NAME.fullmatch(text) else CATALOG
    return InputError(f"{text} does not exist; {inputs.expected_for(text, names)} {MODEL_FORMS}")


def _read(path: Path) -> Checkpoint:
    try:
        return read_checkpoint(path)
    except InputError as error:
        if not path.is_dir():
            raise
        raise InputError(f"{path} is not a bundle, since it has no {MANIFEST}, and {error}") from error


def _key(checkpoint: Checkpoint, place: ModelPlace) -> str:
    """A name for the bundle of a checkpoint, made from all that decides what is in it."""
    digests = [file.checksums["sha256"] for file in (checkpoint.file, *checkpoint.more_files)]
    facts = (
        *(__version__, _code(), digests, checkpoint.container, checkpoint.metadata),
        *(checkpoint.path.name, place.name, place.entry and place.entry.name),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _key_of_graph(adoption: Adoption) -> str:
    """The cache's name for the bundle of a graph, made from everything that its content depends on."""
    facts = [__version__, _code(), adoption.model, adoption.labels]
    for name, content in adoption.files.items():
        data = memoryview(content) if isinstance(content, bytes) else load_file(content).data
        facts += [name, checksums(data)["sha256"]]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """A digest of this package: another state of it may make another bundle of the same file."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(inputs.read_bytes(path, inputs.DOCUMENT_LIMIT))
    return digest.hexdigest()


def _open_kept(kept: Path, *, verify: bool) -> Bundle | None:
    """The bundle that an earlier call made; None if there is none, or it is not whole."""
    try:
        return open_bundle(kept, verify=verify) if kept.exists() else None
    except InputError:
        return None


def _adopted(path: Path, place: ModelPlace, reference: str) -> Adoption:
    try:
        return adopt(path, name=place.name)
    except UsageError as error:
        raise _with_command(error, "adopt", reference) from error


def _converted(checkpoint: Checkpoint, place: ModelPlace, reference: str) -> Conversion:
    try:
        return convert_checkpoint(checkpoint, entry=place.entry, name=place.name)
    except (InputError, UsageError) as error:
        raise _with_command(error, "convert", reference) from error


def _with_command(error: XceptionError, verb: str, reference: str) -> XceptionError:
    """The error with the command whose options it names, if it names any."""
    if " --" not in str(error):
        return error
    kind = UsageError if isinstance(error, UsageError) else InputError
    return kind(f"{error}; these are options of xception {verb} {reference} --out DIR, and DIR is then the model")


def _keep(conversion: Adoption | Conversion, kept: Path) -> Bundle:
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
