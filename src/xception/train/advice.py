"""Advice to the person who trains before the first step, and refusal of runs that cannot work."""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np

from xception.data.decode import loaded_image
from xception.data.source import Item, Source, indices_of, is_multi_label
from xception.errors import DecodeError, InputError, UsageError
from xception.preprocess import Preprocess
from xception.train.logs import Epoch
from xception.train.recipe import Recipe

FEW_HELD_OUT = 10
"""Validation images of a class below which a single one moves its recall by more than ten points."""

MAX_INITIAL_SHARE = 0.05
"""Share of a batch statistic that may be its initial value at the end of a run."""

MAX_LOOKED_AT = 8
"""Images that are looked at for colours."""

MAX_GRAY_SPREAD = 24
"""Levels between the channels of a gray image at most, as JPEG leaves them."""

MAX_NAMED_CLASSES = 5
"""Classes that a sentence names."""


def class_counts(source: Source, classes: Sequence[str]) -> np.ndarray:
    """Images of each of the classes, by name, (K,); images without a label are not counted."""
    places = {name: place for place, name in enumerate(classes)}
    own = [places[name] for name in source.classes]
    return np.bincount([own[target] for item in source for target in indices_of(item.target)], minlength=len(classes))


def require_trainable(recipe: Recipe, training: Source, validation: Source, counts: np.ndarray) -> None:
    """Refuse data that nothing can be learned from, and decisions that there are no figures for.

    Raises:
        InputError: the images are of one class only.
        UsageError: no image is held out, and the recipe waits for figures of the held-out part.
    """
    if is_multi_label(training):
        if not ((counts > 0) & (counts < len(training))).any():
            raise InputError(
                f"every class of the {len(training)} training images is that of all or of none, so that nothing can be "
                "learned; expected a class that some images have and others have not"
            )
    elif (counts > 0).sum() < 2:
        name = training.classes[int(counts.argmax())]
        raise InputError(
            f"all {len(training)} training images are of one class, {name!r}, so that nothing can be learned; expected "
            "images of two classes at least, in one folder per class"
        )
    waiting = {
        "publish=best": recipe.publish == "best",
        "stop_after": recipe.stop_after is not None,
        "schedule.name=plateau": recipe.schedule.name == "plateau",
    }
    asked = [name for name, is_asked in waiting.items() if is_asked]
    if asked and not len(validation):
        raise UsageError(
            f"no image of {training.name} is held out for validation, and {' and '.join(asked)} of the recipe cannot "
            "decide anything without one; add images, pass --set data.validation=DATA, or --set publish=last "
            "--set stop_after="
        )


def data_remarks(
    training: Source, counts: np.ndarray, held_out: np.ndarray, *, is_divided: bool = True
) -> Iterator[str]:
    """Sentences on classes of which there are no images, or too few to judge them.

    Args:
        training: the training data.
        counts: its images of each class, (K,).
        held_out: validation images of each class, (K,).
        is_divided: the validation part was taken from undivided data, by settings that can be changed.
    """
    classes = training.classes
    if (counts == 0).any():
        yield (
            f"there are no training images of {_named(classes, counts == 0)}; the network has an output for each of "
            "the classes all the same"
        )
    if not held_out.any():
        yield "no image is held out for validation: the run ends without an accuracy"
        return
    unseen = (held_out == 0) & (counts > 0)
    if unseen.any():
        yield f"no image of {_named(classes, unseen)} is held out, so that nothing is known of the accuracy on them"
    few = held_out[(held_out > 0) & (held_out < FEW_HELD_OUT)]
    if len(few):
        rarest = (held_out == few.min()) & (counts > 0)
        number = ("1 image" if few.min() == 1 else f"{few.min()} images") + " each" * int(rarest.sum() > 1)
        more = "hold out more (--set data.hold_out.share=0.2), or train every fold (--fold 1/5 to 5/5)"
        yield (
            f"only {number} of {_named(classes, rarest)} {_is(few.min())} held out, so "
            f"that a single one moves the recall of its class by {100 / few.min():.0f} points; "
            f"{more if is_divided else 'add images to the validation part'}"
        )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def color_remark(preprocess: Preprocess, training: Source) -> str | None:
    """A sentence on colours that the network does not get, if the first images have any; unreadable ones have none."""
    if preprocess.color != "gray":
        return None
    first = (training[index] for index in range(min(len(training), MAX_LOOKED_AT)))
    if not any(map(_is_coloured, first)):
        return None
    return (
        f"the images of {training.name} are in colour and the network takes gray ones; pass --set "
        "preprocess.color=rgb if colours tell the classes apart"
    )


def _is_coloured(item: Item) -> bool:
    try:
        image = loaded_image(item.load())
    except (DecodeError, OSError):
        return False
    pixels = np.asarray(image.convert("RGB"), np.int16)
    return bool(np.ptp(pixels, axis=2).max() > MAX_GRAY_SPREAD)


def norm_remark(momentum: float, steps: int) -> str | None:
    """A sentence on batch statistics that start anew and do not settle within the run, if they do not.

    Args:
        momentum: weight of a new batch in the running statistics.
        steps: steps of the whole run.
    """
    left = (1 - momentum) ** steps
    if left <= MAX_INITIAL_SHARE:
        return None
    enough = max(0.1, ceil(100 * (1 - (MAX_INITIAL_SHARE / 5) ** (1 / max(1, steps)))) / 100)
    return (
        f"the norms' running statistics move by {momentum:g} per step, so that after all {steps} steps {left:.0%} of "
        f"them are still their initial values, and validation may stay at chance while the loss falls; pass "
        f"--set model.norm_momentum={min(enough, 1):g}"
    )


def result_remarks(history: Sequence[Epoch], classes: int) -> Iterator[str]:
    """Sentences on what went wrong in a finished run, as far as its log shows it."""
    if len(history) < 2:
        return
    first, last = history[0], history[-1]
    if last.train_loss >= first.train_loss:
        yield (
            f"the training loss has not fallen ({first.train_loss:.2f} in the first epoch, {last.train_loss:.2f} in "
            "the last): lower optim.lr, or look at the labels with xception data check"
        )
    elif last.validation_balanced_accuracy is not None and last.validation_balanced_accuracy <= 1.2 / classes:
        yield (
            f"the training loss fell, but the accuracy on held-out images is that of guessing among {classes} classes: "
            "there are too few images, or batch statistics did not settle (model.norm_momentum)"
        )
    losses = [row.validation_loss for row in history if row.validation_loss is not None]
    if losses and losses[-1] > 1.5 * min(losses):
        yield (
            f"the loss on held-out images rose from {min(losses):.2f} to {losses[-1]:.2f}, so that the network learns "
            "its training images by heart: add images, raise augmentation, or set stop_after and publish=best"
        )


def _named(classes: Sequence[str], chosen: np.ndarray) -> str:
    names = [name for name, is_chosen in zip(classes, chosen, strict=True) if is_chosen]
    return ", ".join(names[:MAX_NAMED_CLASSES]) + f" and {len(names) - MAX_NAMED_CLASSES} more classes" * (
        len(names) > MAX_NAMED_CLASSES
    )
