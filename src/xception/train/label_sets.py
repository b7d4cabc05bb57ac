"""Training on multi-label data: the settings that it needs, and validation data of the same kind."""

from dataclasses import replace
from functools import partial

from xception.data.source import Item, Lazy, Source, indices_of, is_multi_label
from xception.errors import UsageError
from xception.train.recipe import Recipe


def require_label_sets(recipe: Recipe) -> None:
    """Refuse settings that are of one class per image.

    Raises:
        UsageError: there is one; the sentence says what to set in its place.
    """
    wrong = {
        "loss.name=binary_cross_entropy": recipe.loss.name != "binary_cross_entropy",
        "loss.logit_adjustment=": recipe.loss.logit_adjustment > 0,
        "sampling=shuffled": recipe.sampling != "shuffled",
        "model.positive=": recipe.model.positive is not None,
    }
    needed = [f"--set {change}" for change, is_needed in wrong.items() if is_needed]
    if needed:
        raise UsageError(
            f"the training images may have several classes each, and the recipe is for one class per image; pass "
            f"{' '.join(needed)}"
        )


def as_label_sets(source: Source) -> Source:
    """The source with a set of classes per image, also if each image of this part happens to have one class."""
    if is_multi_label(source):
        return source
    whole = source.whole if isinstance(source, Lazy) else None
    return Lazy(source.name, source.classes, range(len(source)), partial(_with_set, source), whole=whole)


def _with_set(source: Source, index: int) -> Item:
    item = source[index]
    return item if item.target is None else replace(item, target=indices_of(item.target))
