"""A training configuration: typed, frozen, refused where it is wrong; files hold what differs from the defaults."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from xception.arch.spec import Architecture, with_drop
from xception.data.augment import Augment
from xception.errors import InputError, UnknownName, UsageError
from xception.preprocess import Preprocess

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network; classes and channels follow from the data and its preprocessing."""

    variant: str
    width: Positive = 1.0
    drop_rate: float | None = None
    norm_momentum: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Weight of a new batch in the running statistics; a short training wants more than a variant's own."""

    def trained(self, spec: Architecture) -> Architecture:
        """The specification with what applies in training only."""
        if self.norm_momentum is not None:
            spec = replace(spec, norm=replace(spec.norm, momentum=self.norm_momentum))
        return with_drop(spec, self.drop_rate, None)


class DataSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data as `xception.data.sources.open_source` takes them: by default both parts of the one source."""

    source: str
    validation: str | None = None
    """Where the validation part lies, if not in `source`, all of which then is for training."""


class OptimSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`lr` is the peak rate. Weight decay reaches kernels only, not norms and biases."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.1
    momentum: NotNegative = 0.9
    """For sgd."""
    weight_decay: NotNegative = 1e-4
    clip_norm: Positive | None = None
    """Largest norm of the whole gradient; larger ones are scaled down to it."""


class ScheduleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate a step: linear warm-up, then the named decay to the end."""

    name: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_epochs: NotNegative = 0.0


class ComputeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the arithmetic is done; all of it touches the weights, if only in their last digits."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of activations and their products; weights and sums stay float32. float16 scales the loss."""
    accumulate: Count = 1
    """Parts that a batch is computed in, one after the other, where memory does not hold it whole."""
    compile: bool = False
    """Let `torch.compile` fuse what it can."""
    sync_norm: bool = False
    """Take batch statistics over all GPUs of the run instead of each GPU's own share."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides the weights. Equal recipes on equal data give equal weights."""

    model: ModelSettings
    data: DataSettings
    preprocess: Preprocess
    augment: Augment = Augment()
    optim: OptimSettings = OptimSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    compute: ComputeSettings = ComputeSettings()
    epochs: Count
    batch_size: Count = 64
    """Images of one optimiser step, over all devices together."""
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    seed: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved recipe, by which a checkpoint knows its own."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def shipped() -> dict[str, Path]:
    """The recipes of this package, by name."""
    folder = Path(str(files("xception"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply changes such as `optim.lr=0.1`, whose values are TOML.

    Args:
        name: a shipped recipe's name, or the path of a TOML file.
        changes: `key=value`, dots between nested keys.

    Raises:
        UnknownName: no such recipe, or a key that recipes do not have.
        InputError: a file that is not TOML.
        UsageError: a value that is of the wrong kind or out of range, or a change without '='.
    """
    document = _read(name)
    for change in changes:
        _apply(document, change)
    try:
        return msgspec.convert(document, Recipe)
    except msgspec.ValidationError as error:
        raise _explained(name, str(error)) from error


def _read(name: str) -> dict[str, Any]:
    path = shipped().get(name, Path(name))
    if path.suffix != ".toml" and not path.exists():
        raise UnknownName("recipe", name, shipped())
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}; expected a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {path} is not TOML: {error}") from error


def _apply(document: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator:
        raise UsageError(f"--set {change!r} has no value; expected key=value, such as optim.lr=0.1")
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
        if not isinstance(document, dict):
            raise UsageError(f"--set {change!r}: {parent!r} is a value, not a group of settings")
    try:
        document[leaf] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        document[leaf] = text.strip()  # a bare word, as one writes it on a command line


def _explained(name: str, message: str) -> UsageError:
    if "unknown field" not in message:
        return UsageError(f"recipe {name}: {message}")
    key = message.split("`")[1]
    groups = (
        Recipe,
        ModelSettings,
        DataSettings,
        Augment,
        OptimSettings,
        ScheduleSettings,
        ComputeSettings,
        Preprocess,
    )
    near = get_close_matches(key, {field for group in groups for field in group.__struct_fields__}, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"recipe {name}: unknown key {key!r} ({message}){hint}")
