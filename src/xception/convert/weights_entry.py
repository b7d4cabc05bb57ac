"""The facts about one published weights file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from xception.convert.checksum import Digest
from xception.labels import Labels, imagenet1k
from xception.preprocess import Preprocess

Container = Literal["torch", "safetensors", "hdf5", "pdparams", "ckpt"]
LabelSet = Literal["imagenet1k", "fer2013", "imdb", "kdef"]

LABEL_SETS: Mapping[LabelSet, Callable[[], Labels]] = MappingProxyType(
    {
        "imagenet1k": imagenet1k,
        "fer2013": lambda: Labels(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")),
        "imdb": lambda: Labels(("woman", "man")),
        "kdef": lambda: Labels(
            ("angry", "disgusted", "afraid", "happy", "sad", "surprised", "neutral"),
            ("AN", "DI", "AF", "HA", "SA", "SU", "NE"),
        ),
    }
)
"""Class names in logit order, by the data that the weights were trained on."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """An accuracy that somebody stated, as fractions, and where; `date` is ISO 8601, as precise as it is known."""

    top1: float
    top5: float | None
    where: str
    date: str | None


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """One published file.

    Attributes:
        reference: the place to fetch it from (`hf-hub:owner/name` or a URL), None where no such place is known.
        reported: accuracies, the newest first.
        port_of: the entry whose weights these are in another source's file. That one goes first where only the variant
            is named.
        snapshot_of: the entry whose training these weights are another state of. That one goes first, too, and lists
            for reading leave these out.
    """

    name: str
    container: Container
    preprocess: Preprocess
    file: str | None
    reference: str | None
    digest: Digest | None = None
    label_set: LabelSet = "imagenet1k"
    reported: tuple[Reported, ...] = ()
    port_of: str | None = None
    snapshot_of: str | None = None
    defects: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        return self.name.partition(".")[0]

    @property
    def labels(self) -> Labels:
        return LABEL_SETS[self.label_set]()

    @property
    def num_classes(self) -> int:
        return len(self.labels)
