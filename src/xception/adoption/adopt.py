"""Make a bundle from a graph that somebody else exported.

read_graph       what the file says, without running anything: onnx_graph, openvino_graph, litert_graph
├── ports        its input and output
├── arithmetic   what it does to pixels before its first layer
├── try_out      its answers to test images
├── answers      what kind of numbers these are
├── likeness     the variants that it may be
└── weights      its weights in one of them, on request: flow finds its layers
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.adoption.answers import AnswerKind, answer_kind, ending
from xception.adoption.arithmetic import arithmetic_inside, arithmetic_sentence, check_not_twice
from xception.adoption.likeness import like_variants
from xception.adoption.litert_graph import read_litert
from xception.adoption.onnx_graph import read_onnx
from xception.adoption.openvino_graph import read_openvino
from xception.adoption.outline import GraphOutline
from xception.adoption.ports import ImageInput, answer_output, image_input, stated_classes
from xception.adoption.statements import NO_STATEMENTS, GraphStatements, stated_nearby
from xception.adoption.tryout import TryOut, raw, try_out
from xception.arguments import as_path
from xception.backends.base import BACKENDS
from xception.bundle import Bundle, Graph, Model, Network, Step, unwritten_bundle
from xception.convert.checksum import checksums
from xception.convert.defaults import default_labels
from xception.convert.readers import graph_form, read_checkpoint
from xception.convert.readers.binary import load_file
from xception.errors import InputError, UsageError
from xception.forms import Form
from xception.goldens import write_with_goldens
from xception.identity.identity import read_identity
from xception.labels import Labels
from xception.preprocess import Preprocess
from xception.version import __version__

READERS: Mapping[Form, Callable[[Path], GraphOutline]] = {
    "onnx": read_onnx,
    "openvino": read_openvino,
    "litert": read_litert,
}
"""The reader of each form that is adopted."""


READING: Mapping[Form, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "litert": ("ai_edge_litert",),
}
"""The packages that look at each form and try it."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Adoption:
    """A bundle made from a graph file, in memory; `write` puts it in place.

    Attributes:
        outline: what the file says.
        model: the bundle's document.
        labels: class names.
        files: the content of the bundle's files by name.
        notes: facts found in the file, by topic.
        variants: names of the variants that have the graph's layers.
        answers: the graph's own answers (N, K) to the test images; None for a file that says what it is.
    """

    outline: GraphOutline
    model: Model
    labels: Labels
    files: Mapping[str, bytes | Path]
    notes: Mapping[str, str]
    variants: tuple[str, ...]
    answers: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        return f"Adoption({str(self.outline.path)!r}: {self.outline.title}, {len(self.labels)} classes)"

    def write(self, out: str | Path, *, overwrite: bool = False) -> Bundle:
        """Put the bundle in place, with goldens where its runtime is installed; `write_bundle` has the errors."""
        place = as_path(out, "a new bundle")
        return write_with_goldens(place, self.model, self.labels, self.files, overwrite=overwrite)

    def unwritten(self) -> Bundle:
        """The bundle in memory, to be tried before it is written, or not at all."""
        return unwritten_bundle(self.outline.path, self.model, self.labels, self.files)


def adopt(file: str | Path, statements: GraphStatements = NO_STATEMENTS, *, name: str | None = None) -> Adoption:
    """Inspect a graph file that somebody else exported, and make a bundle of it in memory.

    The file is inspected before anything of it runs; then its runtime answers eight test images.

    Args:
        file: an ONNX, OpenVINO (`.xml`) or LiteRT file.
        statements: facts that the file does not contain. A `config.json` of timm next to it may also state the
            preprocessing and the class names.
        name: name of the model in results; by default the file's.

    Raises:
        InputError: it is none of these, damaged, or something that is not adopted; the sentence says what.
        UsageError: something is open or contradicts the file; the sentence names the option.
        MissingExtra: the packages for its form are not installed.
    """
    path = as_path(file, "a graph")
    outline = read_graph(path)
    if statements == NO_STATEMENTS and (own := _as_it_says(outline, name)):
        return own
    port = answer_output(outline, statements.output_name)
    image = image_input(outline, statements.input_name, statements.layout)
    classes = stated_classes(port, image.batch_size)
    near, labels_near = stated_nearby(path, classes)
    preprocess = _preprocess(outline, image, statements.preprocess or near)
    notes = {"values": _values_note(outline, image, preprocess)}
    model = _described(outline, image, port.name, preprocess, classes)
    model = msgspec.structs.replace(model, name=name or path.stem)
    tried = try_out(path, raw(model), outline.files)
    kind = answer_kind(
        path,
        ending(outline, port.value),
        tried.answers,
        stated=statements.output_values,
        activation=statements.activation,
    )
    labels = statements.labels or labels_near or default_labels(tried.answers.shape[1])
    _check_labels(path, labels, tried)
    variants = like_variants(outline, len(labels), preprocess.channels)
    notes |= {"answers": _answers_note(kind), "classes": _labels_note(statements.labels or labels_near, labels)}
    notes |= {"variant": _variant_note(variants)}
    model = _decided(model, outline, kind, tried, variants)
    return Adoption(
        outline=outline,
        model=model,
        labels=labels,
        files=outline.files,
        notes={**notes, **_batch_note(image, tried)},
        variants=variants,
        answers=tried.answers,
    )


def _as_it_says(outline: GraphOutline, name: str | None) -> Adoption | None:
    """A file of this package as it describes itself, with its history; None for those of others."""
    own = read_identity(outline.path)
    if own is None or own.model.form != outline.form:
        return None
    model = msgspec.structs.replace(own.model, name=name or own.model.name)
    notes = {
        "origin": f"exported by xception {own.version}; the file itself says what it is",
        "classes": "as the file says",
    }
    variants = (model.network.variant,) if model.network.variant else ()
    return Adoption(
        outline=outline, model=model, labels=own.labels, files=outline.files, notes=notes, variants=variants
    )


def read_graph(path: Path) -> GraphOutline:
    """The outline of a graph file, whose content decides what it is.

    Raises:
        InputError: it is none, damaged, or something that is not adopted; the sentence says what.
        MissingExtra: the packages for its form are not installed.
    """
    form = graph_form(path)
    if form is None:
        found = read_checkpoint(path)  # which names what is none
        raise InputError(
            f"{path} is no ONNX, OpenVINO or LiteRT file, but a checkpoint ({found.container}); run xception convert"
        )
    return READERS[form](path)


def _preprocess(outline: GraphOutline, image: ImageInput, stated: Preprocess | None) -> Preprocess:
    if stated is None:
        size = "x".join("any" if px is None else str(px) for px in image.size_px)
        raise UsageError(
            f"{outline.path} does not say how images become its input ({image.port.dtype}, {size} px); say so with "
            "--preprocess SOURCE, published weights or a bundle whose images it has, or settings such as "
            "--preprocess shorter_side=333 crop=299 range=-1..1"
        )
    if image.channels not in (None, stated.channels):
        raise UsageError(
            f"{outline.path} takes images of {image.channels} channels and the preprocessing makes {stated.channels}; "
            f"add color={'gray' if image.channels == 1 else 'rgb'} to --preprocess"
        )
    made = stated.output_px
    fits = made is not None and all(px in (None, own) for px, own in zip(image.size_px, made, strict=True))
    if not fits and any(image.size_px):
        height, width = image.size_px
        makes = "images of any size" if made is None else f"{made[0]}x{made[1]} px"
        raise UsageError(
            f"{outline.path} takes {height or 'any'}x{width or 'any'} px and the preprocessing makes {makes}; "
            f"add size={height}x{width} to --preprocess, or state its resize and crop"
        )
    if image.is_image and stated.fractions:
        raise UsageError(f"{outline.path} takes whole 8-bit values; add fractions=false to --preprocess")
    return without_arithmetic(stated) if image.is_image else stated


def without_arithmetic(preprocess: Preprocess) -> Preprocess:
    """The same images, with values from 0 to 255."""
    zeros, ones = (0.0,) * preprocess.channels, (1.0,) * preprocess.channels
    return msgspec.structs.replace(preprocess, divisor=1.0, mean=zeros, std=ones)


def _values_note(outline: GraphOutline, image: ImageInput, preprocess: Preprocess) -> str:
    if outline.precision == "int8":
        return "as the preprocessing makes them; what a quantized graph does with them first is not looked at"
    inside = arithmetic_inside(outline, image.port.value)
    if image.is_image:
        return "8-bit images as they are; whatever --preprocess says of mean and deviation is the graph's own work"
    if inside is None:
        return "normalised by the preprocessing; the graph does no arithmetic of its own first"
    check_not_twice(inside, preprocess)
    return f"the graph itself first computes {arithmetic_sentence(inside)}"


def _described(
    outline: GraphOutline, image: ImageInput, output: str, preprocess: Preprocess, classes: int | None
) -> Model:
    graph = Graph(
        input_name=image.port.name,
        input_shape=(image.batch_size, preprocess.channels, *image.size_px),
        output_name=output,
        input_layout=image.layout,
        input_values="image" if image.is_image else "pixels",
    )
    return Model(
        name=outline.path.stem,
        # How many there are is known for certain after the test images.
        network=Network(variant=None, num_classes=classes or 1, in_channels=preprocess.channels),
        form=outline.form,
        precision=outline.precision,
        preprocess=preprocess,
        graph=graph,
    )


def _decided(model: Model, outline: GraphOutline, kind: AnswerKind, tried: TryOut, variants: tuple[str, ...]) -> Model:
    """The document with what the test images have shown, and the step that made it."""
    graph, network = model.graph, model.network
    if graph is None:
        raise UsageError("the bundle's description lacks its graph; describe the graph first")
    size = graph.input_shape[0] if tried.takes_any_batch or graph.input_shape[0] else 1
    graph = msgspec.structs.replace(graph, output_values=kind.output_values, input_shape=(size, *graph.input_shape[1:]))
    network = replace_network(network, variants, tried.answers.shape[1])
    return msgspec.structs.replace(
        model, network=network, graph=graph, activation=kind.activation, lineage=(_step(outline, tried, variants),)
    )


def replace_network(network: Network, variants: tuple[str, ...], num_classes: int) -> Network:
    """The network's facts; a variant only where no other has the same layers."""
    return msgspec.structs.replace(
        network, num_classes=num_classes, variant=variants[0] if len(variants) == 1 else None
    )


def _step(outline: GraphOutline, tried: TryOut, variants: tuple[str, ...]) -> Step:
    package = BACKENDS[tried.backend].package
    settings: dict[str, str | int | float | bool | None] = {
        "file": outline.path.name,
        "sha256": checksums(load_file(outline.path).data)["sha256"],
        "producer": outline.producer,
        "opset": outline.opset,
    }
    if variants:
        settings["layers_of"] = " ".join(variants)
    if outline.notes:
        settings["changed"] = "; ".join(outline.notes)
    return Step(
        verb="adopt", parent=None, tools={"xception": __version__, package: version(package)}, settings=settings
    )


def _check_labels(path: Path, labels: Labels, tried: TryOut) -> None:
    if len(labels) != tried.answers.shape[1]:
        raise UsageError(
            f"{path} gives {tried.answers.shape[1]} answers per image, but --labels names {len(labels)} classes; "
            "expected as many of each"
        )


def _answers_note(kind: AnswerKind) -> str:
    way = "" if kind.output_values == "probabilities" else f", made probabilities by: {kind.activation}"
    return f"{kind.output_values}{way}, since {kind.because}"


def _labels_note(stated: Labels | None, labels: Labels) -> str:
    if stated:
        return "as stated"
    return "ImageNet's, since there are 1,000" if len(labels) == 1000 else "without names; --labels gives them"


def _variant_note(variants: tuple[str, ...]) -> str:
    if not variants:
        return "none: no variant has its layers"
    return f"its layers have the shapes of {' or '.join(variants)}; --as-weights takes its weights out"


def _batch_note(image: ImageInput, tried: TryOut) -> dict[str, str]:
    if image.batch_size is not None or tried.takes_any_batch:
        return {}
    return {"batch": "1, although the file leaves it open: several images at once fail or change the answers"}
