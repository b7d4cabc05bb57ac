"""Evaluation: every image of a labelled set is counted, and accuracies have intervals."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from xception.bundle import Bundle
from xception.data.inventory import inventory_of
from xception.data.source import Source, Target, is_multi_label, require_source
from xception.data.training_images import Recognised, training_images
from xception.errors import UsageError
from xception.extras import is_installed
from xception.metrics import check_probabilities
from xception.pipeline.engine import Engine, require_engine
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.prepare import Damage
from xception.pipeline.sessions import VIEWS, Averaged, Restricted, Tta
from xception.tasks.binary import check_classes, two_classes
from xception.tasks.evaluation import Evaluation
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.label_issues import with_label_issues
from xception.tasks.label_sets import DEFAULT_THRESHOLD, SetTally, require_sigmoids
from xception.tasks.provenance import DataFingerprint, provenance_of
from xception.tasks.real_labels import RealLabels
from xception.tasks.slices import Slices
from xception.tasks.tally import Tally
from xception.tasks.targets import in_model, present, relabelled, renamed

Observer = Callable[[Scored | Failure, Target, Tally | SetTally], object]


def evaluate(
    engine: Engine,
    source: Source,
    *,
    top: int = 5,
    class_map: Mapping[str, str] = MappingProxyType({}),
    subset: bool = False,
    tta: Tta | None = None,
    real: RealLabels | None = None,
    strict_images: bool = False,
    find_label_issues: bool = False,
    threshold: float | None = None,
    observe: Observer | None = None,
) -> Evaluation:
    """Measure the accuracy of a model on a labelled data set.

    No figure depends on the order of the images. Memory hardly grows with their number: only failures, and some bytes
    per image at the end, are held; the logits of all images are kept in a temporary file.

    Args:
        engine: the opened model; images are prepared as `reference`, unless it was opened with another mode.
        source: labelled images of classes that the model knows.
        top: the largest k of `top_k`.
        class_map: the model's class for each class of the data that has another name.
        subset: let the model choose only among the classes that occur in the data.
        tta: average the class probabilities over several views of each image.
        real: several right answers per image, for `Evaluation.real`.
        strict_images: count damaged JPEG files as failed; else, with simplejpeg, `Evaluation.damaged` names them.
        find_label_issues: look for images whose labels are likely wrong; this holds all probabilities in memory.
        threshold: for multi-label data, the smallest probability with which a class is predicted, 0.5 by default.
        observe: called with every outcome in the order of the images, and the index of its true class in the tally.

    Raises:
        InputError: a class of the data is none of the model's, or an image is missing in `real`.
        UsageError: an option that does not apply to this kind of data.
        CheckFailed: the model's logits are not numbers.
        MissingExtra: `strict_images` without simplejpeg, or `find_label_issues` without cleanlab.
    """
    require_engine(engine)
    require_source(source)
    damage = _treatment_of_damage(strict_images=strict_images)
    engine, limit = engine.with_lane(damage=damage), DEFAULT_THRESHOLD if threshold is None else threshold
    for_one_class = {"several right answers": real is not None, "label issues": find_label_issues}
    check_kind(source.name, threshold, for_one_class, are_sets=is_multi_label(source))
    asked = {"class_map": class_map, "subset": subset, "tta": tta, "real": real, **_named(threshold=threshold)}
    items, fingerprint, slices = _recognised(source, engine.bundle), DataFingerprint(), Slices(limit)
    watching = {"fingerprint": fingerprint, "slices": slices, "observe": observe}
    given: dict[str, Any] = asked | watching | {"threshold": limit}
    result = _judged(engine, source, items, given, top, find_label_issues=find_label_issues)
    options = asked | {"class_map": dict(class_map), "real": real.digest if real else None, "damaged_images": damage}
    return msgspec.structs.replace(
        result,
        tta=tta,
        subset=subset,
        inventory=inventory_of(source),
        damaged=None if damage == "ignored" else result.damaged,
        trained_on=len(items.known) if isinstance(items, Recognised) else None,
        slices=slices.rows(),
        provenance=provenance_of([engine.judging()], source, fingerprint, options),
    )


def _named(**options: object) -> dict[str, object]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _treatment_of_damage(*, strict_images: bool) -> Damage:
    if strict_images:
        return "refused"
    return "noted" if is_installed("simplejpeg") else "ignored"


def _recognised(source: Source, model: Bundle) -> Source | Recognised:
    """The source, which notes the images that the model was trained on where these are known."""
    digests = training_images(model)
    return source if digests is None else Recognised(source, digests)


def check_kind(data: str, threshold: float | None, for_one_class: Mapping[str, bool], *, are_sets: bool) -> None:
    """Refuse options that multi-label data, or all others, know nothing of.

    Raises:
        UsageError: there is one.
    """
    if threshold is not None and not 0 < threshold < 1:
        raise UsageError(f"the threshold is {threshold:g}; expected a probability between 0 and 1, such as 0.5")
    asked = [name for name, is_asked in for_one_class.items() if is_asked]
    if are_sets and asked:
        raise UsageError(
            f"{' and '.join(asked)} need data with one class per image, but images of {data} may have several; "
            "leave them out"
        )
    if threshold is not None and not are_sets:
        raise UsageError(
            f"a threshold needs multi-label data, but the images of {data} have one class each, for which the "
            "likeliest class is taken; leave the threshold out"
        )


def _judged(
    engine: Engine, source: Source, items: Source, given: Mapping[str, Any], top: int, *, find_label_issues: bool
) -> Evaluation:
    """The figures of a source, whose images are taken from `items`; `given` is for `count_outcomes`."""
    with KeptLogits() as kept:
        tally = count_outcomes(engine, items, **given, kept=kept)
        result = tally.evaluation(str(engine.bundle.path), source.name, engine.session.facts.name, len(source), top)
        if find_label_issues:
            result = with_label_issues(result, kept, tally.activation, lambda place: source[place].key)
    return result


def count_outcomes(
    engine: Engine,
    source: Source,
    *,
    class_map: Mapping[str, str] = MappingProxyType({}),
    subset: bool = False,
    tta: Tta | None = None,
    real: RealLabels | None = None,
    fingerprint: DataFingerprint | None = None,
    kept: KeptLogits | None = None,
    slices: Slices | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    multi_label: bool | None = None,
    observe: Observer | None = None,
) -> Tally | SetTally:
    """Run the model over a labelled data set; returns the counts behind `evaluate`, which takes the same arguments.

    Counts of parts of a data set add up to those of the whole, which fractions do not. `fingerprint` sums up the
    images that are loaded, with the model's own classes; `kept` takes all logits, and `slices` counts by properties.
    A part of multi-label data that may be empty says so by `multi_label`.

    Raises:
        InputError: a class of the data is none of the model's, or an image is missing in `real`.
        CheckFailed: the model's logits are not numbers.
    """
    names = renamed(source.classes, class_map)
    are_sets = is_multi_label(source) if multi_label is None else multi_label
    check_classes(engine.bundle)
    engine = engine if are_sets else two_classes(engine, names)
    labels, activation = engine.bundle.labels, engine.bundle.model.activation
    check_probabilities(activation)
    targets = labels.targets(names)
    classes = present(source, targets) if subset else range(len(labels))
    place = {model_class: index for index, model_class in enumerate(classes)}

    def valid(key: str, position: int) -> set[int]:
        return {place[index] for index in real.valid(key, position) if index in place} if real else set()

    used = tuple(labels.names[index] for index in classes)
    tally: Tally | SetTally = Tally(used, valid if real else None, activation, kept)
    if are_sets:
        require_sigmoids(activation, source.name)
        tally = SetTally(used, threshold, scales_temperature=kept is not None)
    runner = _with_views(engine.judging(), classes if subset else None, tta)
    slices = slices or Slices(threshold)
    items = slices.watch((fingerprint or DataFingerprint()).watch(relabelled(source, targets)))
    places = tuple(place.get(target, -1) for target in range(len(labels)))
    for index, outcome in enumerate(runner.run(relabelled(items, places))):
        tally.add(outcome)
        slices.add(index, outcome)
        if observe:
            target = source[index].target
            observe(outcome, in_model(in_model(0 if target is None else target, targets), places), tally)
    return tally


def _with_views(engine: Engine, classes: Sequence[int] | None, tta: Tta | None) -> Engine:
    session = engine.session if classes is None else Restricted(engine.session, classes)
    return engine.with_lane(session=Averaged(session, VIEWS[tta], engine.bundle.model.activation) if tta else session)
