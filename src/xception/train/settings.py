"""The groups of a recipe's settings: typed, frozen, and refused where they would have no effect."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from xception.arch.spec import Architecture, with_drop
from xception.data.augment import NotNegative
from xception.data.hold_out import HoldOut
from xception.errors import UsageError

Positive = Annotated[float, msgspec.Meta(gt=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Epochs = Annotated[int, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all groups: immutable, and unknown keys are refused."""


class ModelSettings(Settings, frozen=True, kw_only=True):
    """The network; its classes and channels follow from the data and the preprocessing."""

    variant: str
    width: Positive = 1.0
    positive: str | None = None
    """The class, of two, whose probability a single output gives; by default every class has an output."""
    drop_rate: float | None = None
    drop_path_rate: float | None = None
    """Drop rate of the last block's residual branch; earlier ones are dropped more rarely (Huang et al. 2016)."""
    norm_momentum: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Weight of a new batch in the running statistics; a short training needs more than a variant's own."""

    start: str | None = None
    """A bundle whose network, preprocessing and weights the training starts from."""
    parent: str | None = None
    """Digest of that bundle, filled in when a recipe is resolved."""

    def trained(self, spec: Architecture) -> Architecture:
        """The specification with what applies in training only."""
        if self.norm_momentum is not None:
            spec = replace(spec, norm=replace(spec.norm, momentum=self.norm_momentum))
        return with_drop(spec, self.drop_rate, self.drop_path_rate)


class DataSettings(Settings, frozen=True, kw_only=True):
    """Data as `xception.data.sources.open_source` takes them; by default one source holds both parts."""

    source: str
    validation: str | None = None
    """Source of the validation part, if it is not in `source`; then all of `source` is for training."""
    hold_out: HoldOut = HoldOut()
    """Choice of the validation part of a source that has no parts of its own."""
    skip_damaged: bool = False
    """Read all training images first, and leave out those that cannot be read, which the run counts."""


class OptimSettings(Settings, frozen=True, kw_only=True):
    """`lr` is the peak rate, which the schedule scales."""

    name: Literal["sgd", "rmsprop", "adam", "adamw", "muon"] = "sgd"
    lr: Positive = 0.1
    lr_per: Count | None = None
    """Images per step that `lr` is meant for; a step of another size takes a rate scaled in proportion."""
    momentum: NotNegative = 0.9
    """Used by sgd, rmsprop and muon."""
    nesterov: bool = False
    """Used by sgd."""
    rho: Fraction = 0.9
    """Weight of the past in the mean square; used by rmsprop."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Used by adam, adamw, and muon, which leaves norms, biases, depthwise kernels and the head to adamw."""
    epsilon: Positive | None = None
    """Used by all but sgd; by default 1e-8, and 1e-10 for rmsprop, which adds it before taking the root."""
    weight_decay: NotNegative = 1e-4
    """Decoupled for adamw and muon; for the others it is added to the gradient, as an L2 penalty is."""
    decay_on: Literal["kernels", "all_but_norms", "all", "stem"] = "kernels"
    """Parameters that decay: kernels, kernels and biases, all (norms too), or only the kernels of the stem."""
    layer_decay: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """Rate of each block as a share of the rate of the next one, from the stem up to the head."""
    head_scale: Positive = 1.0
    """Factor of the rate of the head, in addition to `layer_decay`."""
    clip_norm: Positive | None = None
    """Largest norm of the whole gradient; larger gradients are scaled down to it."""

    def __post_init__(self) -> None:
        _refuse_unused(
            self,
            "optim",
            momentum=("sgd", "rmsprop", "muon"),
            nesterov=("sgd",),
            rho=("rmsprop",),
            betas=("adam", "adamw", "muon"),
            epsilon=("rmsprop", "adam", "adamw", "muon"),
        )
        if self.nesterov and not self.momentum:
            raise UsageError("optim.nesterov needs a momentum above 0; expected optim.momentum such as 0.9")


class ScheduleSettings(Settings, frozen=True, kw_only=True):
    """The learning rate of each step: a linear warm-up, then the named decay of the peak rate."""

    name: Literal["constant", "cosine", "linear", "poly", "steps", "staged", "plateau", "mindspore_cosine"] = "cosine"
    warmup_epochs: NotNegative = 0.0
    warmup_from: NotNegative | None = None
    """Rate of the first step; the first step after the warm-up then has the peak rate. By default the rise starts
    above 0 and the last step of the warm-up has the peak rate."""
    warmup_inside: bool = False
    """Count the decay from the first step, so that the warm-up hides its beginning (timm)."""
    each_epoch: bool = False
    """Give every step of an epoch the rate of its first step (timm)."""
    end_lr: NotNegative = 0.0
    """Rate that cosine, linear and poly would reach one step after the last."""
    power: Positive = 2.0
    """Exponent of poly."""
    factor: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    """Factor of each fall of the rate; used by steps, staged and plateau."""
    milestones: tuple[Fraction, ...] = (0.3, 0.6, 0.8)
    """Shares of all steps after which the rate falls; used by steps."""
    every_epochs: Positive | None = None
    """Epochs between two falls of the rate; used by staged."""
    every_images: Count | None = None
    """Images between two falls of the rate; used by staged."""
    patience: Count = 10
    """Epochs without a lower validation loss after which the rate falls; used by plateau."""

    def __post_init__(self) -> None:
        _refuse_unused(
            self,
            "schedule",
            end_lr=("cosine", "linear", "poly"),
            power=("poly",),
            factor=("steps", "staged", "plateau"),
            milestones=("steps",),
            every_epochs=("staged",),
            every_images=("staged",),
            patience=("plateau",),
        )
        if self.name == "staged" and (self.every_epochs is None) == (self.every_images is None):
            raise UsageError("the staged schedule needs schedule.every_epochs or schedule.every_images, one of them")


class FreezeSettings(Settings, frozen=True, kw_only=True):
    """First epochs, in which a flow of a trained network does not learn; the stem goes with the entry flow."""

    entry_until: Epochs = 0
    middle_until: Epochs = 0
    exit_until: Epochs = 0
    norm_statistics: bool = False
    """Keep the running statistics of all norms throughout, and normalise by them in training too."""

    @property
    def is_staged(self) -> bool:
        """True if the parts that learn change from one epoch to another."""
        return max(self.entry_until, self.middle_until, self.exit_until) > 0


class ProgressiveStage(Settings, frozen=True, kw_only=True):
    """Smaller images in the first epochs, which learn coarse features and cost less per image (Howard 2018)."""

    until: Count
    """Last epoch, counted from 1, of this stage; it begins after the end of the stage before it."""
    size: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    """Side of the images as a share of the side of the network's input, in whole pixels."""


class MixSettings(Settings, frozen=True, kw_only=True):
    """Images blended with others of their batch, and their classes with them; 0 turns a kind off."""

    mixup: NotNegative = 0.0
    """Parameter of the beta distribution from which mixup draws an image's share."""
    cutmix: NotNegative = 0.0
    """The same parameter for cutmix, which pastes a box of another image."""
    cutmix_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """Share of the batches that take cutmix where both are on."""
    until: Epochs | None = None
    """Number of epochs that blend images; the last ones then see whole images. By default all epochs blend."""

    @property
    def is_on(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def in_epoch(self, epoch: int) -> "MixSettings":
        """The settings of epoch `epoch`, counted from 0."""
        return self if self.until is None or epoch < self.until else MixSettings()

    def __post_init__(self) -> None:
        if self.until is not None and not self.is_on:
            raise UsageError("mix.until does nothing unless mix.mixup or mix.cutmix is on; leave it out")
        if self.cutmix_share != 0.5 and not (self.mixup and self.cutmix):
            raise UsageError("mix.cutmix_share does nothing unless mix.mixup and mix.cutmix are both on; leave it out")


class LossSettings(Settings, frozen=True, kw_only=True):
    """The loss that training minimises."""

    name: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    """The loss of a softmax over the classes, or of a sigmoid for each class."""
    label_smoothing: Fraction = 0.0
    """Share of the probability that is taken from the labelled class and spread over classes."""
    smoothing_over: Literal["all", "others"] = "all"
    """Classes that it is spread over: all of them, or all but the labelled one (MindSpore's model zoo)."""
    class_weights: Literal["balanced", "square_root", "effective_number"] | tuple[Positive, ...] | None = None
    """Weight of an image of each class, in class order, or the rule by which it follows from the classes' images; of
    multi-label data the weight of the images with a class over that of those without it."""
    effective_beta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.999
    """Beta of effective_number: the nearer to 1, the nearer to balanced."""
    logit_adjustment: NotNegative = 0.0
    """Multiple of the logarithm of each class's share of the training images that is added to its logit, in training
    only, so that the network learns larger logits for rare classes (Menon et al. 2021)."""

    def __post_init__(self) -> None:
        if self.logit_adjustment and self.name != "cross_entropy":
            raise UsageError(
                "loss.logit_adjustment does nothing for binary_cross_entropy, whose classes do not compete; leave it "
                "out, or choose loss.name=cross_entropy"
            )
        if self.effective_beta != 0.999 and self.class_weights != "effective_number":
            raise UsageError(
                "loss.effective_beta does nothing unless loss.class_weights is 'effective_number'; leave it out"
            )


class AverageSettings(Settings, frozen=True, kw_only=True):
    """A moving average of the weights."""

    decay: Fraction = 0.9999
    """Share of the average that each step keeps."""
    warmup: bool = True
    """Begin with a smaller share, so that the random first weights are soon forgotten."""


class QatSettings(Settings, frozen=True, kw_only=True):
    """Training on the grid of an int8 form, which `quantize` then takes over; see `xception.train.qat`."""

    per_channel: bool = True
    """A scale for each output channel of a kernel rather than one for all of it, for compilers that know no other."""
    signed: bool = False
    """Signed activations with the zero point 0 everywhere, as TensorRT demands."""
    weight_bits: Literal[7, 8] = 7
    """7 gives the same result on every processor."""
    range_momentum: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.01
    """Weight of a new batch in the ranges of activations."""


class ComputeSettings(Settings, frozen=True, kw_only=True):
    """The arithmetic; each of these settings changes the weights, if only in their last digits."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number type of activations and their products; weights and sums stay float32. float16 scales the loss."""
    loss_scale: Positive | None = None
    """Fixed factor of float16's loss; by default it adapts to the gradients."""
    accumulate: Count = 1
    """Number of parts that a batch is computed in, one after the other, where memory does not hold it whole."""
    compile: bool | Literal["auto"] = "auto"
    """Let `torch.compile` fuse what it can; `auto` does it on a GPU, in runs that are long enough to gain from it."""
    sync_norm: bool = False
    """Take batch statistics over all GPUs of the run instead of each GPU's own share."""

    def __post_init__(self) -> None:
        if self.loss_scale is not None and self.precision != "float16":
            raise UsageError("compute.loss_scale does nothing unless compute.precision is 'float16'; leave it out")


def _refuse_unused(settings: Settings, group: str, **meant_for: tuple[str, ...]) -> None:
    """Refuse settings that the named choice does not look at, rather than ignore them."""
    name: str = settings.name  # type: ignore[attr-defined]
    defaults: dict[str, Any] = dict(zip(settings.__struct_fields__, settings.__struct_defaults__, strict=True))
    for key, names in meant_for.items():
        if name not in names and getattr(settings, key) != defaults[key]:
            raise UsageError(
                f"{group}.{key} does nothing for {name}; leave it out, or choose {group}.name {' or '.join(names)}"
            )
