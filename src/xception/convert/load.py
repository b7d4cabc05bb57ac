"""Any checkpoint as a bundle: the weights that were asked for, under canonical names, with what else a bundle needs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from xception import __version__
from xception.arch.compute import tensors as tensors_of
from xception.arch.spec import Architecture
from xception.arch.variants import resolve
from xception.bundle import Bundle, Model, Network, Step, write_bundle
from xception.convert import timm_config
from xception.convert.catalog import identify
from xception.convert.defaults import default_labels, default_preprocess, with_input_px
from xception.convert.diagnosis import best_fits_of, differences, is_same_quality, why
from xception.convert.entry import WeightsEntry
from xception.convert.match import CLASSIFIER, CLASSIFIER_BIAS, Fit, best_fits, twins
from xception.convert.readers import Checkpoint, read_checkpoint
from xception.convert.readers.tensorbundle import index_path
from xception.convert.rename import rename
from xception.convert.sources import SOURCES
from xception.convert.weight_sets import WeightSet, choose_sets, weight_sets
from xception.errors import InputError, UsageError
from xception.labels import Labels
from xception.preprocess import Preprocess
from xception.weights import weights_bytes


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user decides where a file leaves it open.

    Attributes:
        variant: the network; any of the diagnosis' candidates.
        group: the set of weights, by name.
        average: take the running average of the weights.
        leave_out: shell patterns of the file's tensors that are not to be taken over.
        new_head: start a new classifier of so many classes, all zeros, in place of the file's.
    """

    variant: str | None = None
    group: str | None = None
    average: bool = False
    leave_out: Sequence[str] = ()
    new_head: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Converted:
    """A bundle that is not written yet. `fit` says how the file was understood."""

    file: Path
    fit: Fit
    model: Model
    labels: Labels
    tensors: Mapping[str, np.ndarray]

    def write(self, out: Path, *, overwrite: bool = False) -> Bundle:
        """Put it in place; see `write_bundle` for the errors."""
        files: dict[str, bytes | Path] = {"weights.safetensors": weights_bytes(self.tensors)}
        return write_bundle(out, self.model, self.labels, files, overwrite=overwrite)


def load(
    path: Path,
    choice: Choice = Choice(),
    *,
    entry: WeightsEntry | None = None,
    labels: Labels | None = None,
) -> Converted:
    """Read a checkpoint of any source into what a bundle is made of.

    Args:
        path: the file or model folder.
        choice: what to take.
        entry: the published weights that the file is or stems from, for network, preprocessing and class names; by
            default those that it is by its checksum. Otherwise the model folder tells, or the variant's first weights.
        labels: class names that go before all these; where nothing tells them, ImageNet's 1,000, or else numbers.

    Raises:
        InputError: the file cannot be read, or does not fit a variant tensor by tensor; the sentence says what would.
        UsageError: several variants fit, there is none of the name, or an argument contradicts the file.
    """
    checkpoint = read_checkpoint(path)
    known = entry or (identify(path) if path.is_file() else None)
    choice = _with_variant(choice, known)
    fit = _choose_fit(path, _choose_weights(path, checkpoint, choice), choice)
    variant = choice.variant or fit.spec.name
    network = Network(
        variant=variant,
        num_classes=choice.new_head or fit.spec.num_classes,
        in_channels=fit.spec.in_channels,
        width=fit.width,
    )
    spec = network.architecture()
    model = Model(
        name=path.stem,
        network=network,
        form="weights",
        precision="float32",
        preprocess=known.preprocess if known else _preprocess(checkpoint, spec),
        lineage=(_step(path, checkpoint, fit, choice, known),),
    )
    _check_channels(model)
    named = labels or _labels(checkpoint, known, network.num_classes)
    return Converted(file=path, fit=fit, model=model, labels=named, tensors=_tensors(fit, spec, choice))


def _with_variant(choice: Choice, known: WeightsEntry | None) -> Choice:
    """The choice with the variant of published weights, where the user named none."""
    if choice.variant is None:
        return replace(choice, variant=known.variant if known else None)
    variant = resolve(choice.variant)
    if known and known.variant not in (variant, *twins(variant)):
        raise UsageError(
            f"{known.name} are weights of another network than {variant}; leave --variant or --weights out"
        )
    return choice


def _choose_weights(path: Path, checkpoint: Checkpoint, choice: Choice) -> list[WeightSet]:
    """The sets of weights that come into question, without what is to be left out."""
    sets = choose_sets(weight_sets(checkpoint), name=choice.group, average=choice.average)
    if not choice.leave_out:
        return sets
    unused = [
        pattern
        for pattern in choice.leave_out
        if not any(fnmatchcase(name, pattern) for weights in sets for name in weights.tensors)
    ]
    if unused:
        raise UsageError(f"no tensor of {path} is called {' or '.join(unused)}, so it cannot be left out")
    return [_without(weights, choice.leave_out) for weights in sets]


def _without(weights: WeightSet, patterns: Sequence[str]) -> WeightSet:
    kept = {
        name: value
        for name, value in weights.tensors.items()
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    return replace(weights, tensors=kept)


def _choose_fit(path: Path, sets: list[WeightSet], choice: Choice) -> Fit:
    """The one variant, source and set of weights that fit fully.

    Raises:
        InputError: none does.
        UsageError: several do.
    """
    usable = [fit for weights in sets for fit in best_fits(weights) if _is_usable(fit, choice)]
    wanted = [fit for fit in usable if choice.variant in (None, fit.spec.name, *twins(fit.spec.name))]
    if not wanted:
        raise InputError(f"{path} {_refusal(sets, usable, choice)}")
    best = [fit for fit in wanted if is_same_quality(fit, wanted[0])]
    variants = list(dict.fromkeys(fit.spec.name for fit in best))
    if choice.variant is None and len(variants) > 1:
        raise UsageError(f"{path} fits {' and '.join(variants)} alike; pass --variant with one of them")
    groups = list(dict.fromkeys(fit.weights.name for fit in wanted))
    if len(groups) > 1:
        raise UsageError(f"{path} holds several full sets of weights; pass --group with one of {', '.join(groups)}")
    return best[0]


def _is_usable(fit: Fit, choice: Choice) -> bool:
    return fit.is_full or (choice.new_head is not None and fit.is_headless)


def _refusal(sets: list[WeightSet], usable: list[Fit], choice: Choice) -> str:
    """Why there is no conversion, and what would be one."""
    if usable:
        fitting = " or ".join(dict.fromkeys(fit.spec.name for fit in usable))
        rivals = [fit for weights in sets for fit in best_fits(weights) if fit.spec.name == choice.variant]
        return (
            f"does not fit {choice.variant}: {differences(rivals[0])}; it fits {fitting}, so pass --variant {fitting}"
        )
    fits = best_fits_of(sets)
    reason = f"it is {fits[0].spec.name} without its classifier" if fits[0].is_headless else why(fits)
    return f"cannot be converted: {reason}; {_way_out(fits[0])}"


def _way_out(fit: Fit) -> str:
    if fit.is_headless:
        return "to start with a new classifier of K classes, pass --new-head K"
    if fit.unexpected and not (fit.missing or fit.misshapen):
        return "to leave out what is not part of it, pass --leave-out PATTERN"
    return "xception info shows all differences"


def _tensors(fit: Fit, spec: Architecture, choice: Choice) -> dict[str, np.ndarray]:
    head = (CLASSIFIER, CLASSIFIER_BIAS) if choice.new_head else ()
    # Twins bear the same canonical names, so the names that fit are read whatever network they are for.
    found = rename(fit.weights.tensors, fit.spec, SOURCES[fit.source], without=head)
    return found | {name: np.zeros(tensors_of(spec)[name], np.float32) for name in head}


def _preprocess(checkpoint: Checkpoint, spec: Architecture) -> Preprocess:
    config = checkpoint.metadata.get("config")
    stated = timm_config.preprocess_of(config) if isinstance(config, Mapping) else None
    if stated:
        return stated
    published = default_preprocess(spec)
    size = _keras_input_px(checkpoint.metadata.get("model_config"))
    return with_input_px(published, *size) if size else published


def _check_channels(model: Model) -> None:
    if model.preprocess.channels != model.network.in_channels:
        raise UsageError(
            f"the preprocessing makes {model.preprocess.channels} channels and the network takes "
            f"{model.network.in_channels}; expected as many"
        )


def _keras_input_px(model_config: Any) -> tuple[int, int] | None:
    """(height, width) that the first layer of a Keras model is fixed to."""
    try:
        first = model_config["config"]["layers"][0]["config"]
        _, height, width, _ = first.get("batch_shape") or first["batch_input_shape"]
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        return None
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _labels(checkpoint: Checkpoint, known: WeightsEntry | None, num_classes: int) -> Labels:
    config = checkpoint.metadata.get("config")
    stated = timm_config.labels_of(config, num_classes) if isinstance(config, Mapping) else None
    published = known.labels if known and known.num_classes == num_classes else None
    return stated or published or default_labels(num_classes)


def _step(path: Path, checkpoint: Checkpoint, fit: Fit, choice: Choice, known: WeightsEntry | None) -> Step:
    settings: dict[str, str | int | float | bool | None] = {
        "container": checkpoint.container,
        "source": fit.source,
        "group": fit.weights.name,
        "file": path.name,
        "sha256": _sha256(path, checkpoint),
    }
    if known:
        settings["preprocess_of"] = known.name
    if choice.leave_out:
        settings["left_out"] = " ".join(choice.leave_out)
    if choice.new_head:
        settings["new_head"] = choice.new_head
    if choice.variant and choice.variant != fit.spec.name:
        settings["names_of"] = fit.spec.name
    if fit.drops_background:
        settings["dropped_class"] = "background, in front of the others"
    return Step(verb="convert", parent=None, tools={"xception": __version__}, settings=settings)


def _sha256(path: Path, checkpoint: Checkpoint) -> str:
    """Of the weights file; of a TensorFlow checkpoint its index, which holds a checksum of every tensor."""
    weights = path / str(checkpoint.metadata.get("weights_file", "")) if path.is_dir() else index_path(path)
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
