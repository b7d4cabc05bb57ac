"""The document of a bundle, `model.json`: what the model is, where it comes from, and what was measured of it."""

from typing import Literal

import msgspec

from xception.arch.spec import Architecture, Pooling
from xception.arch.stackwise import Stackwise
from xception.arch.variants import architecture
from xception.errors import UsageError
from xception.forms import Form, Layout
from xception.intervals import Interval
from xception.labels import MAX_CLASSES
from xception.metrics import Activation
from xception.preprocess import Preprocess
from xception.sealed import FileHash

FORMAT_VERSION = 1

MAX_CHANNELS = 1024
MAX_WIDTH = 64.0
"""Factor of the channels of a variant; the widest network that anybody published is 1."""

Precision = Literal["float32", "float16", "int8"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of `model.json`: immutable, and unknown keys are refused."""


class Network(_Document, frozen=True):
    """The variant and this model's departures from it; enough to build the network again."""

    variant: str | None
    """None for a graph of somebody else's that is none of the variants; the other facts but the next two then say
    nothing."""
    num_classes: int
    """0 for a network that answers with embeddings."""
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

    def __post_init__(self) -> None:
        sizes = {
            "classes": (self.num_classes, 0, MAX_CLASSES),
            "channels": (self.in_channels, 1, MAX_CHANNELS),
            "hidden features": (self.hidden_features or 1, 1, MAX_CLASSES),
        }
        for name, (size, least, most) in sizes.items():
            if not least <= size <= most:
                raise UsageError(f"a network cannot have {size} {name}; expected {least} to {most:,}")
        if not 0 < self.width <= MAX_WIDTH:
            raise UsageError(f"a network cannot have the width {self.width}; expected a factor up to {MAX_WIDTH:g}")

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

    @property
    def num_outputs(self) -> int:
        """Numbers per image: a logit of each class, or those of the embedding."""
        return self.num_classes or self.architecture().head.num_outputs

    @property
    def answers(self) -> str:
        """The network's answers in words."""
        classes = "1 class" if self.num_classes == 1 else f"{self.num_classes} classes"
        return classes if self.num_classes else f"embeddings of {self.num_outputs} features"


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
    output_values: Literal["logits", "probabilities", "embedding"] = "logits"
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
    """Logits or embeddings of this form compared with those of its parent on the same pixels."""

    samples: int
    max_abs_diff: float
    mean_abs_diff: float
    relative_diff: float
    """Largest absolute difference over the largest absolute logit, or feature, of the parent."""
    top1_agreement: float
    """Share of the samples whose largest logit, or feature, stands in the same place."""
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


class Model(_Document, frozen=True):
    """All of `model.json`. `digest` is the SHA-256 of the document with an empty digest and without the
    entry of the goldens, which say what the model answers but not what it is."""

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


def contradiction(model: Model, label_count: int) -> str | None:
    """The first two facts of a description that cannot both be true, in a sentence; None if there are none."""
    network, preprocess = model.network, model.preprocess
    if label_count != network.num_classes:
        return f"{label_count} labels for a network of {network.num_classes} classes; expected as many of each"
    if not label_count and model.activation != "none":
        return f"embeddings are no probabilities; expected the activation none, got {model.activation}"
    if label_count == 1 and model.activation == "softmax":
        return "a softmax over a single class is 1 for every image; expected the activation sigmoid or none"
    if preprocess.channels != network.in_channels:
        return (
            f"the preprocessing makes {preprocess.channels} channels and the network takes {network.in_channels}; "
            "expected as many"
        )
    return _graph_contradiction(model.graph, model) if model.graph else None


def _graph_contradiction(graph: Graph, model: Model) -> str | None:
    _, channels, *size = graph.input_shape
    made = model.preprocess.output_px
    if channels != model.network.in_channels:
        return f"the graph takes {channels} channels and the network {model.network.in_channels}; expected as many"
    if None not in size and made and tuple(size) != made:
        return f"the preprocessing makes {made[0]}x{made[1]} px and the graph takes {size[0]}x{size[1]}; expected equal"
    if any(side is not None and side < 1 for side in graph.input_shape):
        return f"the graph's input has the shape {graph.input_shape}; expected sizes from 1"
    if graph.top_k is not None and not 1 <= graph.top_k <= model.network.num_classes:
        return f"the graph names the best {graph.top_k} of {model.network.num_classes} classes; expected some of them"
    if (graph.output_values == "embedding") != (model.network.num_classes == 0):
        return f"the graph gives {graph.output_values} and the network {model.network.answers}; expected the same"
    if len(set(graph.outputs)) < len(graph.outputs):
        return f"the graph has the outputs {', '.join(graph.outputs)}; expected a name of its own for each"
    return None
