"""The groups of a recipe's settings: typed, frozen, and refused where they make no sense."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from xception.arch.spec import Architecture, with_drop
from xception.errors import UsageError

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Epochs = Annotated[int, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all groups have in common: immutable, and unknown keys are refused."""


class ModelSettings(Settings, frozen=True, kw_only=True):
    """Which network; classes and channels follow from the data and its preprocessing."""

    variant: str
    width: Positive = 1.0
    drop_rate: float | None = None
    drop_path_rate: float | None = None
    """Of the last block's residual branch; earlier ones are dropped more rarely (Huang et al. 2016)."""
    norm_momentum: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Weight of a new batch in the running statistics; a short training wants more than a variant's own."""

    start: str | None = None
    """A bundle whose network, preprocessing and weights the training starts from."""
    parent: str | None = None
    """That bundle's digest, which resolving a recipe fills in."""

    def trained(self, spec: Architecture) -> Architecture:
        """The specification with what applies in training only."""
        if self.norm_momentum is not None:
            spec = replace(spec, norm=replace(spec.norm, momentum=self.norm_momentum))
        return with_drop(spec, self.drop_rate, self.drop_path_rate)


class DataSettings(Settings, frozen=True, kw_only=True):
    """Data as `xception.data.sources.open_source` takes them: by default both parts of the one source."""

    source: str
    validation: str | None = None
    """Where the validation part lies, if not in `source`, all of which then is for training."""


class OptimSettings(Settings, frozen=True, kw_only=True):
    """`lr` is the peak rate, which the schedule scales."""

    name: Literal["sgd", "rmsprop", "adam", "adamw", "muon"] = "sgd"
    lr: Positive = 0.1
    lr_per: Count | None = None
    """Images in a step that `lr` is meant for: a step of another size takes a rate scaled in proportion."""
    momentum: NotNegative = 0.9
    """For sgd, rmsprop and muon."""
    nesterov: bool = False
    """For sgd."""
    rho: Share = 0.9
    """For rmsprop: weight of the past in the mean square."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """For adam and adamw, and for what muon leaves to adamw: norms, biases, depthwise kernels and the head."""
    epsilon: Positive | None = None
    """For all but sgd: 1e-8, but 1e-10 for rmsprop, whose root is taken of the sum as TensorFlow does."""
    weight_decay: NotNegative = 1e-4
    """Decoupled for adamw and muon; for the others it is added to the gradient, as an L2 penalty is."""
    decay_on: Literal["kernels", "all", "stem"] = "kernels"
    """Whether it reaches kernels only, norms and biases too, or the stem's kernels only."""
    layer_decay: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """Each block's rate as a share of the rate of the block behind it, from the stem up to the head."""
    head_scale: Positive = 1.0
    """Multiplies the head's rate on top of that."""
    clip_norm: Positive | None = None
    """Largest norm of the whole gradient; larger ones are scaled down to it."""

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
    """A rate a step: linear warm-up, then the named decay of the peak rate."""

    name: Literal["constant", "cosine", "linear", "poly", "steps", "staged", "plateau", "mindspore_cosine"] = "cosine"
    warmup_epochs: NotNegative = 0.0
    warmup_from: NotNegative | None = None
    """Rate of the first step; the step behind the warm-up is the first with the peak rate. By default the rise
    starts above 0 and the warm-up's last step has the peak rate."""
    warmup_inside: bool = False
    """The decay counts from the first step and the warm-up hides its beginning (timm)."""
    each_epoch: bool = False
    """Every step of an epoch has its first step's rate (timm)."""
    end_lr: NotNegative = 0.0
    """Where cosine, linear and poly would arrive with the step behind the last."""
    power: Positive = 2.0
    """For poly."""
    factor: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    """For steps, staged and plateau: what the rate is multiplied by each time."""
    milestones: tuple[Share, ...] = (0.3, 0.6, 0.8)
    """For steps: shares of all steps after which the rate falls."""
    every_epochs: Positive | None = None
    """For staged: the rate falls every so many epochs."""
    every_images: Count | None = None
    """For staged: the rate falls every so many images."""
    patience: Count = 10
    """For plateau: epochs without a lower validation loss after which the rate falls."""

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
    """Epochs at the start of which a flow of a trained network stays as it is; the stem goes with the entry flow."""

    entry_until: Epochs = 0
    middle_until: Epochs = 0
    exit_until: Epochs = 0
    norm_statistics: bool = False
    """Keep the running statistics of all norms throughout, and normalise by them in training too."""

    @property
    def is_staged(self) -> bool:
        """Whether what learns changes from one epoch to another."""
        return max(self.entry_until, self.middle_until, self.exit_until) > 0


class ProgressiveStage(Settings, frozen=True, kw_only=True):
    """Smaller images at the start, where most is learnt of coarse features and every image costs less (Howard 2018)."""

    until: Count
    """The last epoch, counted from 1, that sees them; the stage begins where the one before it ends."""
    size: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    """Their side as a share of the network's input, in whole pixels."""


class MixSettings(Settings, frozen=True, kw_only=True):
    """Images blended with others of their batch, and their classes with them; 0 turns a kind off."""

    mixup: NotNegative = 0.0
    """Parameter of the beta distribution that shares are drawn from."""
    cutmix: NotNegative = 0.0
    """The same for images with a box of another one."""
    cutmix_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """Share of the batches that cutmix takes where both are on."""
    until: Epochs | None = None
    """How many epochs blend; those after them end the training on whole images. By default all do."""

    def __post_init__(self) -> None:
        if self.until is not None and not (self.mixup or self.cutmix):
            raise UsageError("mix.until has no meaning unless mix.mixup or mix.cutmix is on; leave it out")
        if self.cutmix_share != 0.5 and not (self.mixup and self.cutmix):
            raise UsageError(
                "mix.cutmix_share has no meaning unless mix.mixup and mix.cutmix are both on; leave it out"
            )


class AverageSettings(Settings, frozen=True, kw_only=True):
    """A moving average of the weights."""

    decay: Share = 0.9999
    """Share of the average that a step keeps."""
    warmup: bool = True
    """Begin with a smaller one."""


class ComputeSettings(Settings, frozen=True, kw_only=True):
    """How the arithmetic is done; all of it touches the weights, if only in their last digits."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of activations and their products; weights and sums stay float32. float16 scales the loss."""
    accumulate: Count = 1
    """Parts that a batch is computed in, one after the other, where memory does not hold it whole."""
    compile: bool = False
    """Let `torch.compile` fuse what it can."""
    sync_norm: bool = False
    """Take batch statistics over all GPUs of the run instead of each GPU's own share."""


def _refuse_unused(settings: Settings, group: str, **meant_for: tuple[str, ...]) -> None:
    """Refuse settings that the named choice does not look at, rather than ignore them."""
    name: str = settings.name  # type: ignore[attr-defined]
    defaults: dict[str, Any] = dict(zip(settings.__struct_fields__, settings.__struct_defaults__, strict=True))
    for key, names in meant_for.items():
        if name not in names and getattr(settings, key) != defaults[key]:
            raise UsageError(
                f"{group}.{key} has no meaning for {name}; leave it out, or choose {group}.name {' or '.join(names)}"
            )
