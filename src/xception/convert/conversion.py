"""A checkpoint of any source made into a bundle: read, identified, matched, renamed, and described, in this order."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from xception.arch.compute import CLASSIFIER_BIAS, CLASSIFIER_WEIGHT
from xception.arch.spec import Architecture
from xception.arguments import as_path
from xception.bundle import Bundle, Model, Network, Step, unwritten_bundle
from xception.convert import timm_config
from xception.convert.defaults import default_labels, default_preprocess, with_channels, with_input_px
from xception.convert.diagnosis import dropped_sentences, published_as
from xception.convert.match import Match
from xception.convert.naming.rename import canonical_tensors
from xception.convert.readers import Checkpoint, read_checkpoint
from xception.convert.readers.class_names import names_for
from xception.convert.selection import NO_CHOICE, WeightsChoice, choose_match, with_variant
from xception.convert.stated import StatedFacts
from xception.convert.stated_head import HIDDEN, ROLES, names_of
from xception.convert.statements import activation_of, check_match, stated_facts, with_stated
from xception.convert.weights_entry import WeightsEntry
from xception.errors import UsageError
from xception.goldens import write_with_goldens
from xception.identity.identity import with_identity
from xception.labels import Labels
from xception.preprocess import Preprocess
from xception.version import __version__
from xception.weights import weights_bytes, with_new_classifier

UNSTATED_POOLING = "pooling"
"""Key in the history of a bundle of embeddings whose source answers with feature maps, or does not tell."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Conversion:
    """A bundle made from a checkpoint, in memory; `write` puts it in place, and `match` says how the file was read."""

    file: Path
    match: Match
    model: Model
    labels: Labels
    tensors: Mapping[str, np.ndarray]

    def __repr__(self) -> str:
        network = self.model.network
        return f"Conversion({str(self.file)!r}: {network.variant}, {network.answers})"

    def write(self, out: str | Path, *, overwrite: bool = False) -> Bundle:
        """Put the bundle in place, with goldens where torch is installed; `write_bundle` has the errors."""
        place = as_path(out, "a new bundle")
        return write_with_goldens(place, self.model, self.labels, self.files, overwrite=overwrite)

    def unwritten(self) -> Bundle:
        """The bundle in memory, to be tried before it is written."""
        return unwritten_bundle(self.file, self.model, self.labels, self.files)

    @property
    def files(self) -> dict[str, bytes]:
        """Content of the bundle's files by name."""
        return with_identity({"weights.safetensors": weights_bytes(self.tensors)}, self.model, self.labels)


def convert_checkpoint(
    source: str | Path | Checkpoint,
    choice: WeightsChoice = NO_CHOICE,
    *,
    entry: WeightsEntry | None = None,
    labels: Labels | None = None,
    name: str | None = None,
) -> Conversion:
    """Read a checkpoint of any source, and make a bundle of it in memory. Every file is opened only once.

    Args:
        source: the file or model folder, or one that was read already.
        choice: the weights to take.
        entry: the published weights that give network, preprocessing and class names; by default those with the
            file's checksum, else what the model folder states, else the variant's first published weights.
        labels: class names that override all these; if there are none at all, ImageNet's for 1,000 classes, else
            numbers.
        name: name of the model in results; by default the file's.

    Raises:
        InputError: the file cannot be read, or does not fit a variant tensor by tensor; the sentence says what would.
        UsageError: several variants fit, there is none of the name, or an argument contradicts the file.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(as_path(source, "a checkpoint"))
    path = checkpoint.path
    published = entry or published_as(checkpoint)
    choice = with_variant(choice, published)
    stated = stated_facts(checkpoint, head=choice.head, keeps_head=choice.new_head is None)
    match = choose_match(checkpoint, choice, stated)
    check_match(checkpoint, match, stated)
    network = with_stated(_network(match, choice, stated), stated)
    spec = network.architecture()
    named, named_by = _labels(checkpoint, published, network.num_classes)
    step = _step(checkpoint, match, choice, published, is_embedding=not network.num_classes)
    if named_by and labels is None:
        step = msgspec.structs.replace(step, settings={**step.settings, "labels_of": named_by})
    model = Model(
        name=name or path.stem,
        network=network,
        form="weights",
        precision="float32",
        preprocess=_normalized(published.preprocess if published else _preprocess(checkpoint, match, spec), stated),
        activation=activation_of(stated, network.num_classes, choice.activation),
        lineage=(step,),
    )
    _check_channels(model)
    tensors = _tensors(match, spec, choice)
    return Conversion(file=path, match=match, model=model, labels=labels or named, tensors=tensors)


def _normalized(preprocess: Preprocess, stated: StatedFacts) -> Preprocess:
    """The preprocessing with the arithmetic that the network does itself at its beginning."""
    return stated.normalization.applied(preprocess) if stated.normalization else preprocess


def _network(match: Match, choice: WeightsChoice, stated: StatedFacts) -> Network:
    classes = match.num_classes or 0
    if stated.num_classes == 0:
        classes = 0
    if choice.new_head is not None:
        classes = choice.new_head
    return Network(
        variant=choice.variant or match.spec.name,
        num_classes=classes,
        in_channels=match.spec.in_channels,
        width=match.width,
        pooling=match.spec.head.pooling,
        hidden_features=match.spec.head.hidden_features if classes and choice.new_head is None else None,
    )


def _tensors(match: Match, spec: Architecture, choice: WeightsChoice) -> dict[str, np.ndarray]:
    keeps_head = spec.num_classes > 0 and choice.new_head is None
    head = () if keeps_head else (CLASSIFIER_WEIGHT, CLASSIFIER_BIAS)
    # Twins bear the same canonical names, so the names that match are read whatever network they are for.
    names = names_of(match.source, match.spec, match.group.stated.stackwise)
    hidden = () if spec.head.hidden_features else tuple(ROLES[HIDDEN])
    found = canonical_tensors(match.prepared, match.spec, names, without=(*head, *(set(hidden) & names.keys())))
    return found if keeps_head else with_new_classifier(found, spec)


def _preprocess(checkpoint: Checkpoint, match: Match, spec: Architecture) -> Preprocess:
    stated = match.group.stated.preprocess or timm_config.timm_preprocess(checkpoint.config)
    if stated:
        return with_channels(stated, spec.in_channels)
    published = default_preprocess(spec, match.source)
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


def _labels(checkpoint: Checkpoint, published: WeightsEntry | None, num_classes: int) -> tuple[Labels, str]:
    """The names of the classes, and the place in a training's checkpoint that states them, if it does."""
    stated = timm_config.timm_labels(checkpoint.config, num_classes)
    if stated:
        return stated, ""
    kept = names_for(checkpoint.metadata, num_classes)
    if kept:
        return kept
    theirs = published.labels if published and published.num_classes == num_classes else None
    return theirs or default_labels(num_classes), ""


def _step(
    checkpoint: Checkpoint, match: Match, choice: WeightsChoice, published: WeightsEntry | None, *, is_embedding: bool
) -> Step:
    settings: dict[str, str | int | float | bool | None] = {
        "container": checkpoint.container,
        "source": match.source,
        "group": match.group.name,
        "file": checkpoint.path.name,
        "sha256": checkpoint.file.checksums["sha256"],
    }
    settings |= {f"sha256 of {file.path.name}": file.checksums["sha256"] for file in checkpoint.more_files}
    if published:
        settings["preprocess_of"] = published.name
    if choice.leave_out:
        settings["left_out"] = " ".join(choice.leave_out)
    if match.dropped:
        settings["dropped"] = "; ".join(dropped_sentences(match))
    if match.classifier:
        settings["head"] = match.classifier.layer
    if choice.hidden_activation:
        settings["hidden_activation"] = choice.hidden_activation
    if choice.new_head is not None:
        settings["new_head"] = choice.new_head
    elif is_embedding and match.num_classes:
        settings["dropped_classifier"] = f"{match.classifier_name}, since {match.group.stated.place} states no classes"
    if is_embedding and match.group.stated.pooling is None:
        settings[UNSTATED_POOLING] = "the average, since the file states none"
    if choice.variant and choice.variant != match.spec.name:
        settings["names_of"] = match.spec.name
    if match.drops_background:
        settings["dropped_class"] = "background, in front of the others"
    return Step(verb="convert", parent=None, tools={"xception": __version__}, settings=settings)
