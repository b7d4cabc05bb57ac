"""Facts that a file states about its network, apart from the tensors; each is built, or refused."""

from dataclasses import dataclass, field

from xception.arch.spec import Pooling
from xception.arch.stackwise import Stackwise
from xception.metrics import Activation
from xception.preprocess import Preprocess


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Arithmetic inside of the network on 8-bit values, per channel: `value * factor + shift`."""

    factor: tuple[float, ...] = (1.0,)
    shift: tuple[float, ...] = (0.0,)

    def then(self, factor: tuple[float, ...], shift: tuple[float, ...]) -> "Normalization":
        """This, and behind it another one."""
        channels = max(map(len, (self.factor, self.shift, factor, shift)))
        rows = [row * channels if len(row) == 1 else row for row in (self.factor, self.shift, factor, shift)]
        first, before, second, behind = rows
        return Normalization(
            factor=tuple(a * b for a, b in zip(first, second, strict=True)),
            shift=tuple(a * b + c for a, b, c in zip(before, second, behind, strict=True)),
        )

    def applied(self, preprocess: Preprocess) -> Preprocess:
        """The preprocessing whose normalisation is this one; raises a UsageError if it has other channels."""
        factor, shift = (row * preprocess.channels if len(row) == 1 else row for row in (self.factor, self.shift))
        std = tuple(1 / (preprocess.divisor * value) for value in factor)
        mean = tuple(0.0 - value * deviation for value, deviation in zip(shift, std, strict=True))
        fields = {name: getattr(preprocess, name) for name in preprocess.__struct_fields__}
        return Preprocess(**{**fields, "mean": mean, "std": std})


@dataclass(frozen=True, kw_only=True)
class StatedFacts:
    """Facts about a network; None where the file states nothing.

    Attributes:
        place: what states them, such as "model_config".
        source: the package whose configuration it is, and so whose names the tensors have.
        variants: the only networks that the file can be.
        pooling: the pooling before the classifier.
        activation: what follows the classifier; "none" states that its answers are logits.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth.
        output_stride: input pixels per feature-map pixel.
        num_classes: outputs of the classifier; 0 states that there is none, and that the answer is the embedding.
        in_channels: channels of the images.
        normalization: arithmetic in front of the first convolution.
        head_names: paths of the head's layers by what they are: "classifier" and "hidden".
        without_bias: those of them that have no bias.
        stackwise: widths by block.
        norm_epsilon: epsilon of the batch normalisations.
        preprocess: the way from an image to pixels.
        output: id of the layer whose result is wanted, in a graph of layers.
        activated_by: path of the layer that makes probabilities of the logits, be it the classifier itself.
        unused: paths of the layers that are not taken over: those of other outputs, and of a head that is replaced.
    """

    place: str = ""
    source: str | None = None
    variants: tuple[str, ...] | None = None
    pooling: Pooling | None = None
    activation: Activation | None = None
    drop_rate: float | None = None
    drop_path_rate: float | None = None
    output_stride: int | None = None
    num_classes: int | None = None
    in_channels: int | None = None
    normalization: Normalization | None = None
    head_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    without_bias: tuple[str, ...] = ()
    stackwise: Stackwise | None = None
    norm_epsilon: float | None = None
    preprocess: Preprocess | None = None
    output: str | None = None
    activated_by: tuple[str, ...] = ()
    unused: tuple[tuple[str, ...], ...] = ()

    @property
    def has_classifier(self) -> bool:
        """True if it states a classifier, without which the file is not whole."""
        return bool(self.num_classes) or "classifier" in self.head_names


NOTHING_STATED = StatedFacts()
