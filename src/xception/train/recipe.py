"""A recipe: the typed and frozen configuration of a training run; its file holds what differs from the defaults."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from difflib import get_close_matches
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from xception import inputs
from xception.arch.variants import architecture
from xception.convert.defaults import default_preprocess, with_channels
from xception.data.augment import Augment
from xception.errors import InputError, UnknownName, UsageError
from xception.preprocess import Preprocess
from xception.train.figures import Figure
from xception.train.finetune import open_start
from xception.train.settings import (
    AverageSettings,
    ComputeSettings,
    Count,
    DataSettings,
    FreezeSettings,
    LossSettings,
    MixSettings,
    ModelSettings,
    OptimSettings,
    ProgressiveStage,
    QatSettings,
    ScheduleSettings,
    Settings,
)

MAX_SUGGESTED = 3
"""Settings that are suggested for an unknown one."""

CHANNELS = {"gray": 1, "rgb": 3, "bgr": 3}


class Recipe(Settings, frozen=True, kw_only=True):
    """All settings that the trained weights depend on. Equal recipes on equal data give equal weights."""

    model: ModelSettings
    data: DataSettings
    preprocess: Preprocess
    augment: Augment = Augment()
    mix: MixSettings = MixSettings()
    progressive: tuple[ProgressiveStage, ...] = ()
    """Stages of smaller training images; after the last one images have the network's own size."""
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    freeze: FreezeSettings = FreezeSettings()
    average: AverageSettings | None = None
    """Moving average of the weights; without it the weights themselves are validated and published."""
    compute: ComputeSettings = ComputeSettings()
    qat: QatSettings | None = None
    """Rounding to the grid of an int8 form; without it the network computes in float."""
    epochs: Count
    monitor: Figure | None = None
    """Figure of the validation images by which epochs are compared; if it is equal, the lower loss decides. By default
    balanced accuracy if a class is at least twice as frequent as another, and top-1 otherwise."""
    stop_after: Count | None = None
    """Epochs without a better figure after which the run ends."""
    validate_every: Count = 1
    """Epochs from one validation to the next; the last epoch always has one."""
    publish: Literal["last", "best"] = "last"
    """Epoch whose weights become the bundle: the last or the best."""
    batch_size: Count = 64
    """Images per optimiser step, over all devices."""
    drop_last: bool = False
    """Leave out of each epoch the images that do not fill its last step."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """Sampling of an epoch: every image once, or every class equally often."""
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        if self.progressive and self.preprocess.output_px is None:
            raise UsageError(
                "progressive needs a network input of one size; expected preprocess.crop, or preprocess.resize "
                "by squashing"
            )
        if self.qat is not None:
            self._check_qat()
        ends = [stage.until for stage in self.progressive]
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise UsageError(f"the stages of progressive end after epochs {ends}; expected each later than the last")

    def _check_qat(self) -> None:
        """Refuse what quantization-aware training cannot do, or would ignore."""
        if self.model.start is None:
            raise UsageError(
                "qat continues from a trained network, whose norms keep their statistics; expected --from MODEL, or "
                "model.start"
            )
        refused = {
            "average": self.average is not None,
            "compute.precision": self.compute.precision != "float32",
            "model.drop_rate": bool(self.model.drop_rate),
            "model.drop_path_rate": bool(self.model.drop_path_rate),
        }
        if names := [name for name, is_given in refused.items() if is_given]:
            raise UsageError(
                f"qat rounds in float32 and drops nothing at random, and its last weights count; leave out "
                f"{' and '.join(names)}"
            )

    @property
    def digest(self) -> str:
        """SHA-256 of the settings that decide the weights and differ from the defaults.

        A later version of this program, which knows more settings, can thus resume a run. The run's manifest holds all
        settings and tells if a default has changed in between. Places are not in it: data are known by their
        fingerprints, and the bundle that a run starts from by its digest.
        """
        return _digest(self, PLACES)

    @property
    def step_digest(self) -> str:
        """SHA-256 of what decides a single step, whatever the run's length; checkpoints know their recipe by it."""
        return _digest(self, PLACES | COURSE)


CONTINUING = frozenset({"finetune", "qat"})
"""Shipped recipes without a network of their own: they start from a bundle."""

PLACES = frozenset({"data.source", "data.validation", "model.start"})
"""Settings that say where things lie, and not what they are."""

COURSE = frozenset({"epochs", "stop_after", "validate_every", "publish"})
"""Settings that a run may be resumed with other values of: they decide where it ends."""


def _digest(recipe: Recipe, ignored: Set[str]) -> str:
    settings = sorted((name, value) for name, value in _non_defaults("", recipe) if name not in ignored)
    return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()


def _non_defaults(prefix: str, settings: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """The names that `--set` takes, and the values, of settings that differ from their defaults."""
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _non_defaults(f"{prefix}{field.name}.", value)
            if field.default is None:
                yield f"{prefix}{field.name}", "given"  # with all defaults of its own, it differs from its absence
        elif value != field.default:
            yield f"{prefix}{field.name}", msgspec.to_builtins(value)


def shipped() -> dict[str, Path]:
    """Paths of the recipes in this package, by name."""
    folder = Path(str(files("xception"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply changes such as `optim.lr=0.1`, whose values are TOML.

    Args:
        name: a shipped recipe's name, or the path of a TOML file.
        changes: `key=value`, with dots between nested keys; an empty value restores the default.

    Raises:
        UnknownName: the recipe, the variant or the choice of a setting does not exist.
        InputError: the file is not TOML, or the bundle that it starts from cannot be opened.
        UsageError: a key is unknown, a value is of the wrong kind or out of range, or a change has no '='.
    """
    name = str(name)
    document = _read(name)
    has_preprocess = "preprocess" in document
    for change in changes:
        _apply(document, change)
    document = _complete(document, has_preprocess=has_preprocess)
    try:
        return msgspec.convert(document, Recipe)
    except msgspec.ValidationError as error:
        raise _explain(name, document, str(error)) from error


def moved(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """A resolved recipe whose data and start lie at other places.

    Args:
        recipe: as a run's manifest holds it.
        changes: as for `load_recipe`.

    Raises:
        UsageError: a change of anything else, since a run is repeated as it was.
    """
    others = [change for change in changes if change.partition("=")[0].strip() not in PLACES]
    if others:
        raise UsageError(
            f"--rerun repeats a run as it was, and {others[0]} would change it; expected only the places "
            f"{', '.join(sorted(PLACES))}, or train from a recipe"
        )
    document = msgspec.to_builtins(recipe)
    for change in changes:
        _apply(document, change)
    return msgspec.convert(document, Recipe)


SEPARATORS = frozenset("/\\~")
"""Characters that paths have, and names of recipes do not."""


def _read(name: str) -> dict[str, Any]:
    path = shipped().get(name, Path(name))
    if path.suffix != ".toml" and not path.exists():
        if SEPARATORS & set(name):
            wanted = "a recipe, a TOML file or a folder of images"
            raise InputError(f"{name} does not exist; {inputs.expected_for(name)} {wanted}")
        raise UnknownName("recipe", name, shipped())
    try:
        return tomllib.loads(inputs.decode_text(inputs.read_bytes(path, inputs.DOCUMENT_LIMIT)))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}; expected a TOML file") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is no text, and so no recipe; if it is a model to start from, pass it by --from, behind the "
            "images to train on"
        ) from error
    # Apart from its own error, the reader lets those of huge numbers and of deep nesting through.
    except (ValueError, RecursionError) as error:
        raise InputError(f"the recipe {path} is not TOML: {error}") from error


def _apply(document: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not all(map(str.strip, key.split("."))):
        missing = "name" if separator else "value"
        raise UsageError(f"--set {change!r} has no {missing}; expected key=value, such as optim.lr=0.1")
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
    except (ValueError, RecursionError):
        document[leaf] = text.strip()  # a bare word, as one writes it on a command line


def _complete(document: Mapping[str, Any], *, has_preprocess: bool) -> dict[str, Any]:
    """Add what follows from the network to a recipe's document.

    Where `model.start` names a bundle, the network is the bundle's, and so is the preprocessing as far as the document
    does not state another. Without one, a recipe that states no preprocessing has that of the variant's first
    published weights.

    Args:
        document: the recipe as in TOML, with the changes that were asked for.
        has_preprocess: the document stated preprocessing before those changes.

    Raises:
        UsageError: no bundle is named where one is needed, or one that is a graph or of another network.
        InputError: the bundle cannot be opened.
    """
    model = document.get("model", {})
    if isinstance(model, dict) and isinstance(model.get("start"), str):
        return _complete_from_bundle(document, model)
    variant = model.get("variant") if isinstance(model, dict) else None
    if has_preprocess or not isinstance(variant, str):
        return dict(document)
    published = default_preprocess(architecture(variant))
    return {**document, "preprocess": _complete_preprocess(document.get("preprocess", {}), published)}


def _complete_from_bundle(document: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Add network and preprocessing of the bundle that the document's group `model`, here `given`, starts from."""
    parent = open_start(given["start"])
    own = {"variant": parent.model.network.variant, "width": parent.model.network.width}
    for key, value in own.items():
        if given.get(key, value) != value:
            raise UsageError(
                f"model.{key} is {given[key]}, and {given['start']} is a network of {key} {value}; leave it out"
            )
    return {
        **document,
        "model": {"parent": parent.model.digest, **own, **given},
        "preprocess": _complete_preprocess(document.get("preprocess", {}), parent.model.preprocess),
    }


def _complete_preprocess(given: Mapping[str, Any], own: Preprocess) -> dict[str, Any]:
    """The given settings, and for the rest `own`, with the statistics of its first channel for gray images."""
    channels = CHANNELS.get(given.get("color", own.color), own.channels)
    builtins: dict[str, Any] = msgspec.to_builtins(with_channels(own, channels))
    return {**builtins, **{name: _changed(builtins.get(name), value) for name, value in given.items()}}


def _changed(own: Any, given: Any) -> Any:
    """A setting of the preprocessing: a group that names no rule, such as a `width_px`, changes the own one."""
    is_part = isinstance(own, dict) and isinstance(given, dict) and "rule" not in given
    return {**own, **given} if is_part else given


def _explain(name: str, document: dict[str, Any], message: str) -> UsageError:
    if match := re.fullmatch(r"Invalid enum value '(.*)' - at `\$\.(.*)`", message):
        return UnknownName(match[2], match[1], _choices(match[2]))
    if match := re.fullmatch(r"(Expected .*) - at `\$\.(.*)`", message):
        return UsageError(f"recipe {name}: {match[2]} is {_value(document, match[2])!r}; {match[1].lower()}")
    if "unknown field" not in message:
        return UsageError(f"recipe {name}: {message}")
    key = message.split("`")[1]
    near = settings_like(key)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"recipe {name}: unknown key {key!r} ({message}){hint}")


def settings_like(key: str) -> tuple[str, ...]:
    """The settings whose own name is a key, whatever group they are in, or else those whose name is like it."""
    names = list(_setting_names(Recipe))
    leaves = {name.rpartition(".")[2] for name in names}
    near = [key] if key in leaves else get_close_matches(key, leaves, n=2)
    return tuple(name for leaf in near for name in names if name.rpartition(".")[2] == leaf)[:MAX_SUGGESTED]


def _setting_names(kind: type[msgspec.Struct], group: str = "") -> Iterator[str]:
    """The names that `--set` takes, with dots between a group and what is in it."""
    for field in msgspec.structs.fields(kind):
        yield f"{group}{field.name}"
        # What a group may be is named by its type, or by those of a union; lists of groups are set as a whole.
        for inner in (field.type, *(get_args(field.type) if get_origin(field.type) is not tuple else ())):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                yield from _setting_names(inner, f"{group}{field.name}.")


def _value(document: Any, path: str) -> Any:
    """The value at a path such as `schedule.milestones[1]`."""
    for key in re.findall(r"\w+", path):
        document = document[int(key) if isinstance(document, list) else key]
    return document


def _choices(path: str) -> list[str]:
    """The words that the setting at `path` may have, such as the names of the schedules."""
    annotation: Any = Recipe
    for key in path.split("."):
        annotation = next(field.type for field in msgspec.structs.fields(annotation) if field.name == key)
    options = [get_args(option) or (option,) for option in get_args(annotation)]
    return [word for words in options for word in words if isinstance(word, str)]
