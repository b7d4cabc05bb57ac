"""The first run on own photos: recipe, batch size and epochs chosen for the number of images, with the reasons."""

from dataclasses import dataclass
from math import ceil

from xception.data.hold_out import HoldOut
from xception.data.source import Source, is_multi_label
from xception.data.sources import form_of, named_split, open_halves
from xception.train.recipe import shipped

TARGET_STEPS = 1500
"""Steps of the whole run that are aimed at: some minutes for a small network on two cores."""

MIN_EPOCHS, MAX_EPOCHS = 10, 60

BATCH_BY_IMAGES = ((500, 16), (5000, 32))
"""Images per step by the number of training images below which it is used; above all of them it is `LARGE_BATCH`."""

LARGE_BATCH = 64

FEW_PER_CLASS = 20
"""Images per class below which a network that starts from random weights seldom learns anything."""


@dataclass(frozen=True, kw_only=True)
class FirstRun:
    """A run as it was chosen for the data."""

    recipe: str
    changes: tuple[str, ...]
    """Changes for `load_recipe`; those that a person sets go behind them."""
    reasons: tuple[str, ...]


def is_data(name: str) -> bool:
    """Tell whether a name stands for images rather than for a recipe."""
    return name not in shipped() and not name.endswith(".toml") and form_of(named_split(name, None)[0]) is not None


def first_run(data: str, start: str | None = None, fold: str | None = None) -> FirstRun:
    """Choose a run for these images.

    Args:
        data: their path, URL or name.
        start: the model to start from, if there is one.
        fold: the part to hold out, see `HoldOut`.

    Raises:
        InputError: there are no such data, or they cannot be divided.
    """
    training, _ = open_halves(data, None, HoldOut(fold=fold))
    images, classes = len(training), len(training.classes)
    batch = next((size for limit, size in BATCH_BY_IMAGES if images < limit), LARGE_BATCH)
    epochs = min(max(ceil(TARGET_STEPS / ceil(images / batch)), MIN_EPOCHS), MAX_EPOCHS)
    recipe = "finetune" if start else "photos"
    steps = ceil(images / batch)
    network = (
        f"{start} learns these {classes} classes" if start else "mini-XCEPTION learns from random weights at 64 px"
    )
    length = (
        f"{epochs} epochs of {steps} steps with {batch} images: about {TARGET_STEPS} steps for {images} training "
        f"images, but {MIN_EPOCHS} to {MAX_EPOCHS} epochs"
    )
    few = (
        f"{images / classes:.0f} images per class are few for random weights; pass --from with a trained model, such "
        "as --from keras_xception.imagenet"
    )
    changes, of_sets = _for_sets(training, recipe)
    is_few = not start and images < FEW_PER_CLASS * classes
    reasons = (f"recipe {recipe}: {network}", length, *of_sets, *((few,) if is_few else ()))
    changes = (f"batch_size={batch}", f"epochs={epochs}", *changes)
    return FirstRun(recipe=recipe, changes=changes, reasons=reasons)


def _for_sets(training: Source, recipe: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Changes of a recipe for one class per image, and the reason, where images may have several."""
    if not is_multi_label(training):
        return (), ()
    changes = ["loss.name=binary_cross_entropy", "loss.class_weights=square_root"]
    changes += ["loss.logit_adjustment=", "sampling=shuffled"] if recipe == "finetune" else []
    reason = (
        "the images may have several classes each: every class has a sigmoid of its own, whose rare side counts more, "
        f"by {', '.join(changes)}"
    )
    return tuple(changes), (reason,)
