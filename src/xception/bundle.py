"""The artifact: a folder with one runnable form of a model and `model.json`, which says what it is.

Only this module reads and writes `model.json`, whose content is described in `xception.model_document`.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from xception import inputs
from xception.arguments import as_path
from xception.errors import InputError, UsageError
from xception.forms import FORMS
from xception.identity.card import CARD, card_text
from xception.labels import NO_LABELS, Labels, decode_labels, labels_text
from xception.model_document import FORMAT_VERSION as FORMAT_VERSION
from xception.model_document import Agreement as Agreement
from xception.model_document import Certificate as Certificate
from xception.model_document import Graph as Graph
from xception.model_document import Model as Model
from xception.model_document import Network as Network
from xception.model_document import Precision as Precision
from xception.model_document import Score as Score
from xception.model_document import Step as Step
from xception.model_document import contradiction
from xception.outputs import ensure_free, json_document, staged_folder
from xception.sealed import AGAIN, check_entries, check_sizes, hash_of, is_plain, read_sealed
from xception.sealed import FileHash as FileHash
from xception.weights import parse_weights

MANIFEST = "model.json"
BUNDLE_OR_LOADED = (
    "a folder that xception convert, train or export wrote; xception.load takes checkpoints and names, too"
)
"""The things that are taken where a bundle is expected, and where others are."""

LABELS = "labels.txt"
GOLDENS = "goldens.safetensors"
"""Images, pixels and answers of the model, see `xception.goldens`."""

INT8_RANGES = "int8_ranges.json"
"""Ranges of activations that the weights were trained for, see `xception.quantize.trained`."""

SIGNATURE = "model.sig"
"""A signature of all other files. It is the one file that is not listed, since it signs the list."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle."""

    path: Path
    model: Model
    labels: Labels
    """Class names; empty for a network that gives embeddings."""
    verify: bool = field(default=True, compare=False)
    """True to compare every file with its hash whenever it is read."""
    is_stored: bool = field(default=True, compare=False)
    """False for a bundle that is only in memory, see `unwritten_bundle`."""
    _contents: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    """Files that were read when the bundle was opened, until they are used; all of a bundle that is only in memory."""

    def __repr__(self) -> str:
        model = self.model
        kind = f"{model.network.title}, {model.network.answers}, {model.form}, {model.precision}"
        return f"Bundle({str(self.path)!r}: {kind})"

    @property
    def main_file(self) -> Path:
        """The weights or graph file."""
        return self.path / FORMS[self.model.form].files[0]

    def content(self, name: str | None = None) -> bytes:
        """The bytes of a listed file, by default the weights or graph.

        The bytes that were compared with the hash when the bundle was opened are kept until they are first asked for;
        after that, the file is read and compared again. So a runtime never gets bytes that were changed on the disk.

        Raises:
            InputError: the file is not listed, cannot be read, or is another one by now; or it is a graph that takes
                weights or operations from elsewhere.
        """
        name = name or self.main_file.name
        if name not in self.model.files:
            raise InputError(f"{self.path} lists no file {name}; expected one of {', '.join(self.model.files)}")
        if not self.is_stored:
            return self._closed(name, self._contents[name])
        kept = self._contents.pop(name, None)
        return self._read(name) if kept is None else kept

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name, of a bundle that holds weights.

        Raises:
            InputError: see `content`; or the file is not whole.
        """
        return parse_weights(self.content(), self.main_file)

    def _read(self, name: str) -> bytes:
        return self._closed(name, read_sealed(self.path / name, self.model.files[name], verify=self.verify))

    def _closed(self, name: str, content: bytes) -> bytes:
        """The content of a file, if it is no graph that takes anything from elsewhere."""
        facts = FORMS[self.model.form]
        if name == facts.files[0] and facts.closed:
            try:
                facts.function(facts.closed)(content)
            except InputError as error:
                raise InputError(f"{self.path / name} is refused: {error}") from error
        return content

    @property
    def graph(self) -> Graph:
        """Names and shapes of the graph.

        Raises:
            InputError: the bundle holds no graph, or does not describe it.
        """
        if self.model.graph is None:
            raise InputError(f"{self.path} describes no graph for its {self.model.form} file; export it again")
        return self.model.graph

    @property
    def size_bytes(self) -> int:
        """Bytes of weights and graph, without all that is kept next to them."""
        return sum(self.model.files[name].size_bytes for name in FORMS[self.model.form].files)


def as_bundle(bundle: Bundle | str | Path) -> Bundle:
    """A bundle that is given, or named by its folder.

    Raises:
        UsageError: it is neither a bundle nor a path.
        InputError: see `open_bundle`.
    """
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle)


def open_bundle(path: str | Path, *, verify: bool = True) -> Bundle:
    """Open a bundle, or the bundle in a training run's folder, and compare every file with its hash.

    Args:
        path: the folder. The folder may be a link, but its files may not.
        verify: False skips the comparison with the hashes, and logs that. Missing, added and linked files, and a
            description that contradicts itself, are still refused.

    Raises:
        InputError: no bundle, another format version, a document that does not fit, a missing or changed file, or one
            that is not listed.
    """
    path, raw, model = _described(as_path(path, "a bundle"))
    check_entries(path, {*model.files, MANIFEST, SIGNATURE})
    check_sizes(path, model.files)
    if not verify:
        _logger.warning("%s", unverified_sentence(path))
    elif _encode(model) != raw or _digest(model) != model.digest:
        raise InputError(f"{path / MANIFEST} was changed after it was written; {AGAIN} from its source")
    labels = NO_LABELS
    if LABELS in model.files:
        labels = decode_labels(read_sealed(path / LABELS, model.files[LABELS], verify=verify), path / LABELS)
    if wrong := contradiction(model, len(labels)):
        raise InputError(f"{path} contradicts itself: {wrong}; {AGAIN} from its source")
    bundle = Bundle(path=path, model=model, labels=labels, verify=verify)
    if not verify:
        return bundle
    contents = {name: bundle.content(name) for name in model.files if name != LABELS}
    return replace(bundle, _contents={name: contents[name] for name in FORMS[model.form].files})


def unwritten_bundle(path: Path, model: Model, labels: Labels, files: Mapping[str, bytes | Path]) -> Bundle:
    """A bundle that is only in memory, to be tried before it is written, or not at all.

    Args:
        path: a folder, for messages.
        model: the document; its `files` are replaced.
        labels: class names.
        files: content by file name, as bytes or as a file that is read.
    """
    contents = {name: _bytes_of(content) for name, content in files.items()}
    listed = msgspec.structs.replace(model, files={name: hash_of(content) for name, content in contents.items()})
    return Bundle(path=path, model=listed, labels=labels, is_stored=False, _contents=contents)


def read_description(path: Path) -> Model:
    """Read only the document of a bundle, whose files may be missing or changed: for a look before it is opened.

    Raises:
        InputError: no bundle, another format version, or a document that does not fit.
    """
    return _described(path)[2]


def unverified_sentence(path: Path) -> str:
    """The words on what is skipped where a bundle is not verified."""
    return (
        f"{path} is not verified: neither its files are compared with their hashes nor {MANIFEST} with its digest, "
        "so that a changed byte would not be noticed"
    )


def write_bundle(
    path: Path, model: Model, labels: Labels, files: Mapping[str, bytes | Path], *, overwrite: bool = False
) -> Bundle:
    """Write a whole bundle next to `path` and rename it into place; file hashes and digest are filled in here.

    Args:
        path: where the bundle is to lie.
        model: the document; its `files` and `digest` are replaced.
        labels: class names, as many as the network has classes.
        files: content by file name, as bytes or as a file to copy.
        overwrite: replace an existing bundle.

    Raises:
        UsageError: labels that do not fit the network, or file names with a path in them.
        InputError: `path` is taken.
        EnvironmentFault: `path` cannot be written; nothing is left behind.
    """
    if wrong := contradiction(model, len(labels)):
        raise UsageError(wrong)
    if not all(map(is_plain, files)):
        raise UsageError(f"cannot write the files {sorted(files)} into a bundle; expected plain file names")
    ensure = partial(ensure_free_for_bundle, path, overwrite=overwrite)
    ensure()
    with staged_folder(path, ensure) as folder:
        named = {LABELS: labels_text(labels).encode()} if labels.names else {}
        contents = {**named, CARD: card_text(model, labels).encode(), **files}
        hashes = {name: _store(folder / name, content) for name, content in contents.items()}
        model = msgspec.structs.replace(model, files=dict(sorted(hashes.items())), digest="")
        model = msgspec.structs.replace(model, digest=_digest(model))
        _store(folder / MANIFEST, _encode(model))
    return Bundle(path=path, model=model, labels=labels)


def ensure_free_for_bundle(path: Path, *, overwrite: bool = False) -> None:
    """Refuse, before any work is done, a place where a bundle cannot be put.

    Raises:
        InputError: `path` holds something that is not to be replaced.
    """
    ensure_free(path, "a bundle", marker=MANIFEST, overwrite=overwrite)


def child(parent: Bundle, verb: str, tools: Mapping[str, str], **settings: str | int | float | bool | None) -> Model:
    """The parent's document as a next step starts from it: lineage extended, results of the parent dropped."""
    step = Step(verb=verb, parent=parent.model.digest, tools=dict(tools), settings=settings)
    return msgspec.structs.replace(
        parent.model,
        metrics={},
        agreement=None,
        certificate=None,
        passed_gate=None,
        lineage=(*parent.model.lineage, step),
    )


def check_version(document: bytes, place: str, expected: int, advice: str) -> None:
    """Refuse a JSON document whose `format_version` is not the expected one.

    Raises:
        InputError: with both versions and the advice.
        msgspec.DecodeError: it is no JSON, or has no version.
    """
    found = inputs.parse_json(document, _Versioned).format_version
    if found != expected:
        raise InputError(f"{place} has format version {found}, this program reads version {expected}; {advice}")


def _described(path: Path) -> tuple[Path, bytes, Model]:
    """The folder, the content of its manifest, and what that says."""
    if not (path / MANIFEST).is_file() and (path / "bundle" / MANIFEST).is_file():
        path = path / "bundle"
    raw = _read_manifest(path)
    return path, raw, _decode(path, raw)


def _read_manifest(path: Path) -> bytes:
    try:
        return inputs.read_bytes(path / MANIFEST, inputs.DOCUMENT_LIMIT)
    except FileNotFoundError:
        what = "is not a bundle: it has no model.json" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {what}; expected {BUNDLE_OR_LOADED}") from None
    except OSError as error:
        raise InputError(f"cannot read {path / MANIFEST}: {error.strerror}; expected {BUNDLE_OR_LOADED}") from error


def _decode(path: Path, raw: bytes) -> Model:
    try:
        advice = "use the version of xception that wrote it, or make the bundle again"
        check_version(raw, str(path / MANIFEST), FORMAT_VERSION, advice)
        model = inputs.parse_json(raw, Model)
    except (msgspec.DecodeError, UsageError) as error:
        raise InputError(
            f"{path / MANIFEST} is not a valid bundle description: {error}; make the bundle again"
        ) from error
    expected = (*FORMS[model.form].files, *((LABELS,) if model.network.num_classes else ()))
    if not all(map(is_plain, model.files)) or not model.files.keys() >= set(expected):
        raise InputError(
            f"{path / MANIFEST} lists the files {sorted(model.files)}; "
            f"expected plain names with {' and '.join(expected)} among them; make the bundle again"
        )
    return model


class _Versioned(msgspec.Struct):
    format_version: int


def _encode(model: Model) -> bytes:
    return json_document(model)


def _digest(model: Model) -> str:
    # Goldens are evidence of the model and no part of it: another machine gives them other last bits.
    files = {name: entry for name, entry in model.files.items() if name != GOLDENS}
    return hashlib.sha256(_encode(msgspec.structs.replace(model, digest="", files=files))).hexdigest()


def _store(path: Path, content: bytes | Path) -> FileHash:
    data = _bytes_of(content)
    path.write_bytes(data)
    return hash_of(data)


def _bytes_of(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else inputs.read_bytes(content, inputs.MODEL_LIMIT)
