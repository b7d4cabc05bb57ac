"""The artifact: a folder with one runnable form of a model and `model.json`, which says what it is.

Only this module reads and writes `model.json`.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from xception import inputs
from xception.arch.spec import Architecture, Pooling
from xception.arch.stackwise import Stackwise
from xception.arch.variants import architecture
from xception.arguments import as_path
from xception.errors import InputError, UsageError
from xception.forms import FORMS, Form, Layout
from xception.intervals import Interval
from xception.labels import Labels, labels_text, read_labels
from xception.metrics import Activation
from xception.outputs import ensure_free, json_document, staged_folder
from xception.preprocess import Preprocess

FORMAT_VERSION = 1
MANIFEST = "model.json"
BUNDLE_OR_LOADED = (
    "a folder that xception convert, train or export wrote; xception.load takes checkpoints and names, too"
)
"""The things that are taken where a bundle is expected, and where others are."""

LABELS = "labels.txt"

Precision = Literal["float32", "float16", "int8"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of `model.json`: immutable, and unknown keys are refused."""


class Network(_Document, frozen=True):
    """The variant and this model's departures from it; enough to build the network again."""

    variant: str | None
    """None for a graph of somebody else's that is none of the variants; the other facts but the next two then say
    nothing."""
    num_classes: int
    in_channels: int
    width: float = 1.0
    output_stride: int | None = None
    pooling: Pooling = "avg"
    hidden_features: int | None = None
    """Outputs of a linear layer with a ReLU before the classifier; None without it."""
    drop_rate: float | None = None
    """Dropout before the classifier while training; None is the variant's own, as is the next."""
    drop_path_rate: float | None = None
    stackwise_filters: tuple[tuple[int, ...], ...] = ()
    """Widths by block, as KerasHub states them; empty where they are the variant's own, as is the next."""
    stackwise_pooling: tuple[bool, ...] = ()
    norm_epsilon: float | None = None
    """Epsilon of the batch normalisations, where it is not the variant's own."""

    @property
    def title(self) -> str:
        """The variant for people."""
        return self.variant or "none of the variants"

    def architecture(self) -> Architecture:
        """The specification.

        Raises:
            UsageError: no such variant, or a value that it cannot take; or the network is none of the variants.
        """
        if self.variant is None:
            raise UsageError("an adopted graph that is none of the variants has no specification; only its graph runs")
        stackwise = Stackwise(filters=self.stackwise_filters, pooling=self.stackwise_pooling)
        return architecture(
            self.variant,
            num_classes=self.num_classes,
            in_channels=self.in_channels,
            width=self.width,
            output_stride=self.output_stride,
            pooling=self.pooling,
            hidden_features=self.hidden_features,
            drop_rate=self.drop_rate,
            drop_path_rate=self.drop_path_rate,
            stackwise=stackwise if self.stackwise_filters else None,
            norm_epsilon=self.norm_epsilon,
        )


class Graph(_Document, frozen=True):
    """Names and shapes of an exported graph; None is a free size.

    `input_shape` is (N, C, H, W) in any layout. An input of `image` takes the 8-bit images that `Preprocess.resized`
    makes, and normalises them itself.
    """

    input_name: str
    input_shape: tuple[int | None, int, int | None, int | None]
    output_name: str
    input_layout: Layout = "nchw"
    input_values: Literal["pixels", "image"] = "pixels"
    output_values: Literal["logits", "probabilities"] = "logits"
    top_k: int | None = None
    """Columns of the additional outputs `top_values` and `top_indices`, both (N, k); None without them."""
    class_maps: bool = False
    """There is an additional output `class_maps`, (N, K, H', W')."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """All outputs in their order."""
        best = ("top_values", "top_indices") if self.top_k else ()
        return (self.output_name, *best, *(("class_maps",) if self.class_maps else ()))


class Score(_Document, frozen=True):
    """An evaluation in short. `seen + failed = total`; a failed image counts as neither right nor wrong."""

    total: int
    seen: int
    failed: int
    top1: Interval | None
    top5: Interval | None
    loss: float | None


class Agreement(_Document, frozen=True):
    """Logits of this form compared with those of its parent on the same pixels."""

    samples: int
    max_abs_diff: float
    mean_abs_diff: float
    relative_diff: float
    """Largest absolute difference over the largest absolute logit of the parent."""
    top1_agreement: float
    batch_sizes: tuple[int, ...] = ()
    """Images in one call; empty where this was not varied."""
    sizes_px: tuple[tuple[int, int], ...] = ()
    """(height, width) of the images; empty for the bundle's own."""


class Certificate(_Document, frozen=True):
    """Proof of a conversion: the source's own framework ran on the converted file, and its logits stand in
    `agreement` as the parent's."""

    source: str
    versions: dict[str, str]
    """Versions of the framework and of the packages that it stands on."""
    sizes_px: tuple[int, ...]
    agreement: Agreement


class Step(_Document, frozen=True):
    """One step of the model's history: what was done, to which bundle, with which tools and settings."""

    verb: str
    parent: str | None
    """Digest of the bundle it came from."""
    tools: dict[str, str]
    settings: dict[str, str | int | float | bool | None] = {}


class FileHash(_Document, frozen=True):
    """Identity of one file."""

    sha256: str
    size_bytes: int


class Model(_Document, frozen=True):
    """All of `model.json`. `digest` is the SHA-256 of the document with an empty digest."""

    name: str
    network: Network
    form: Form
    precision: Precision
    preprocess: Preprocess
    activation: Activation = "softmax"
    """The way from the logits to probabilities."""
    graph: Graph | None = None
    metrics: dict[str, Score] = {}
    """Scores by data set."""
    agreement: Agreement | None = None
    certificate: Certificate | None = None
    """Proof for these very weights; a bundle made from them refers to it by its parent's digest."""
    passed_gate: bool | None = None
    """A quantized model met its accuracy gate; None for models that no gate judged."""
    lineage: tuple[Step, ...] = ()
    files: dict[str, FileHash] = {}
    digest: str = ""
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle."""

    path: Path
    model: Model
    labels: Labels

    def __repr__(self) -> str:
        model = self.model
        kind = f"{model.network.title}, {len(self.labels)} classes, {model.form}, {model.precision}"
        return f"Bundle({str(self.path)!r}: {kind})"

    @property
    def main_file(self) -> Path:
        """The weights or graph file."""
        return self.path / FORMS[self.model.form].files[0]

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
        """Bytes of weights and graph, without labels, manifest and records."""
        return sum(entry.size_bytes for name, entry in self.model.files.items() if not name.endswith((".txt", ".json")))


def as_bundle(bundle: Bundle | str | Path) -> Bundle:
    """A bundle that is given, or named by its folder.

    Raises:
        UsageError: it is neither a bundle nor a path.
        InputError: see `open_bundle`.
    """
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle)


def open_bundle(path: str | Path, *, verify: bool = False) -> Bundle:
    """Read a bundle, or the bundle of a training run's folder; `verify` compares every byte with its hash.

    Raises:
        InputError: no bundle, another format version, a document that does not fit, a missing or changed file.
    """
    path = as_path(path, "a bundle")
    if not (path / MANIFEST).is_file() and (path / "bundle" / MANIFEST).is_file():
        path = path / "bundle"
    raw = _read_manifest(path)
    model = _decode(path, raw)
    for name, entry in model.files.items():
        _check_file(path / name, entry, verify=verify)
    if verify and (_encode(model) != raw or _digest(model) != model.digest):
        raise InputError(f"{path / MANIFEST} was changed after it was written; get the bundle again from its source")
    return Bundle(path=path, model=model, labels=read_labels(path / LABELS))


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
    if len(labels) != model.network.num_classes:
        raise UsageError(
            f"{len(labels)} labels for a network of {model.network.num_classes} classes; expected as many of each"
        )
    if not all(map(_is_plain, files)):
        raise UsageError(f"cannot write the files {sorted(files)} into a bundle; expected plain file names")
    if len(labels) == 1 and model.activation == "softmax":
        raise UsageError("a softmax over a single class is 1 for every image; expected the activation sigmoid or none")
    ensure_free_for_bundle(path, overwrite=overwrite)
    with staged_folder(path) as folder:
        contents = {LABELS: labels_text(labels).encode(), **files}
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
    found = msgspec.json.decode(document, type=_Versioned).format_version
    if found != expected:
        raise InputError(f"{place} has format version {found}, this program reads version {expected}; {advice}")


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
        model = msgspec.json.decode(raw, type=Model)
    except (msgspec.DecodeError, UnicodeDecodeError, UsageError) as error:
        raise InputError(
            f"{path / MANIFEST} is not a valid bundle description: {error}; make the bundle again"
        ) from error
    if not all(map(_is_plain, model.files)) or not model.files.keys() >= set(FORMS[model.form].files):
        raise InputError(
            f"{path / MANIFEST} lists the files {sorted(model.files)}; "
            f"expected plain names with {' and '.join(FORMS[model.form].files)} among them; make the bundle again"
        )
    return model


def _is_plain(name: str) -> bool:
    """True for the name of a file in the folder itself, which cannot lead out of it."""
    return Path(name).name == name and name not in ("", "..")


class _Versioned(msgspec.Struct):
    format_version: int


def _check_file(path: Path, entry: FileHash, *, verify: bool) -> None:
    try:
        size = path.stat().st_size
        sha256 = _sha256(path) if verify else entry.sha256
    except OSError as error:
        raise InputError(f"the bundle's file {path} cannot be read ({error.strerror}); get the bundle again") from error
    if size != entry.size_bytes or sha256 != entry.sha256:
        raise InputError(
            f"{path} is not the file that the bundle was written with "
            f"(expected {entry.size_bytes} bytes with SHA-256 {entry.sha256[:12]}, got {size} bytes); "
            "get the bundle again"
        )


def _encode(model: Model) -> bytes:
    return json_document(model)


def _digest(model: Model) -> str:
    return hashlib.sha256(_encode(msgspec.structs.replace(model, digest=""))).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _store(path: Path, content: bytes | Path) -> FileHash:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        shutil.copyfile(content, path)
    return FileHash(sha256=_sha256(path), size_bytes=path.stat().st_size)
