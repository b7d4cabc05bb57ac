"""A training configuration: typed, frozen, refused where it is wrong; files hold what differs from the defaults."""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from xception.data.augment import Augment
from xception.errors import InputError, UnknownName, UsageError
from xception.preprocess import Preprocess
from xception.train.finetune import completed
from xception.train.settings import (
    AverageSettings,
    ComputeSettings,
    Count,
    DataSettings,
    FreezeSettings,
    MixSettings,
    ModelSettings,
    OptimSettings,
    Positive,
    ProgressiveStage,
    ScheduleSettings,
    Settings,
    Share,
)


class Recipe(Settings, frozen=True, kw_only=True):
    """Everything that decides the weights. Equal recipes on equal data give equal weights."""

    model: ModelSettings
    data: DataSettings
    preprocess: Preprocess
    augment: Augment = Augment()
    mix: MixSettings = MixSettings()
    progressive: tuple[ProgressiveStage, ...] = ()
    """After the last stage images have the network's own size."""
    optim: OptimSettings = OptimSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    freeze: FreezeSettings = FreezeSettings()
    average: AverageSettings | None = None
    """By default the last weights are judged and published themselves."""
    compute: ComputeSettings = ComputeSettings()
    epochs: Count
    stop_after: Count | None = None
    """End after so many epochs without a lower validation loss."""
    publish: Literal["last", "best"] = "last"
    """Whether the weights of the last epoch become the bundle, or those of the highest validation accuracy."""
    batch_size: Count = 64
    """Images of one optimiser step, over all devices together."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """Whether an epoch shows every image once, or every class equally often."""
    label_smoothing: Share = 0.0
    smoothing: Literal["all", "others"] = "all"
    """Which classes share it: all, or all but the right one (MindSpore's model zoo)."""
    class_weights: Literal["balanced"] | tuple[Positive, ...] | None = None
    """What an image of each class counts, in class order; balanced weights make up for unequal frequencies."""
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        if self.progressive and self.preprocess.output_px is None:
            raise UsageError(
                "progressive needs a network input of one size; expected preprocess.crop, or preprocess.resize "
                "by squashing"
            )
        ends = [stage.until for stage in self.progressive]
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise UsageError(f"the stages of progressive end after epochs {ends}; expected each later than the last")

    def preprocess_in(self, epoch: int) -> Preprocess:
        """What epoch `epoch`, counted from 0, trains with; validation is always with `preprocess`."""
        stage = next((stage for stage in self.progressive if epoch < stage.until), None)
        return self.preprocess.scaled(stage.size) if stage else self.preprocess

    def mix_in(self, epoch: int) -> MixSettings:
        """How epoch `epoch`, counted from 0, blends its images."""
        return self.mix if self.mix.until is None or epoch < self.mix.until else MixSettings()

    @property
    def digest(self) -> str:
        """SHA-256 of what differs from the defaults, by which a checkpoint knows its own.

        A later version of this program, which knows more settings, thus goes on with a run. That no default has changed
        in between is for the run's manifest to say, which holds them all.
        """
        return hashlib.sha256(msgspec.json.encode(_stated(self))).hexdigest()


def _stated(settings: msgspec.Struct) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(settings)
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        if value == field.default:
            del document[field.encode_name]
        elif isinstance(value, msgspec.Struct):
            document[field.encode_name] = _stated(value)
    return document


def shipped() -> dict[str, Path]:
    """The recipes of this package, by name."""
    folder = Path(str(files("xception"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply changes such as `optim.lr=0.1`, whose values are TOML.

    Args:
        name: a shipped recipe's name, or the path of a TOML file.
        changes: `key=value`, dots between nested keys; an empty value takes the default back.

    Raises:
        UnknownName: no such recipe, or a key that recipes do not have.
        InputError: a file that is not TOML.
        UsageError: a value that is of the wrong kind or out of range, or a change without '='.
    """
    document = _read(name)
    has_preprocess = "preprocess" in document
    for change in changes:
        _apply(document, change)
    document = completed(document, has_preprocess=has_preprocess)
    try:
        return msgspec.convert(document, Recipe)
    except msgspec.ValidationError as error:
        raise _explained(name, document, str(error)) from error


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
    if not text.strip():
        document.pop(leaf, None)
        return
    try:
        document[leaf] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        document[leaf] = text.strip()  # a bare word, as one writes it on a command line


def _explained(name: str, document: dict[str, Any], message: str) -> UsageError:
    if match := re.fullmatch(r"Invalid enum value '(.*)' - at `\$\.(.*)`", message):
        return UnknownName(match[2], match[1], _choices(match[2]))
    if match := re.fullmatch(r"(Expected .*) - at `\$\.(.*)`", message):
        return UsageError(f"recipe {name}: {match[2]} is {_value(document, match[2])!r}; {match[1].lower()}")
    if "unknown field" not in message:
        return UsageError(f"recipe {name}: {message}")
    key = message.split("`")[1]
    groups: list[type[msgspec.Struct]] = [Augment, Preprocess, *Settings.__subclasses__()]
    near = get_close_matches(key, {field for group in groups for field in group.__struct_fields__}, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"recipe {name}: unknown key {key!r} ({message}){hint}")


def _value(document: Any, path: str) -> Any:
    """What stands at a path such as `schedule.milestones[1]`."""
    for key in re.findall(r"\w+", path):
        document = document[int(key) if isinstance(document, list) else key]
    return document


def _choices(path: str) -> list[str]:
    """The words that the setting at `path` may be, such as the names of the schedules."""
    annotation: Any = Recipe
    for key in path.split("."):
        annotation = next(field.type for field in msgspec.structs.fields(annotation) if field.name == key)
    options = [get_args(option) or (option,) for option in get_args(annotation)]
    return [word for words in options for word in words if isinstance(word, str)]
