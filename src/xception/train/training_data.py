"""The training and the validation data of a run: given, opened, divided, and refused where they do not fit together."""

from pathlib import Path

import msgspec

from xception.data.source import Source, is_multi_label
from xception.data.sources import open_halves
from xception.errors import InputError
from xception.train.label_sets import as_label_sets, require_label_sets
from xception.train.recipe import Recipe
from xception.train.settings import DataSettings

DataHalves = tuple[Source, Source]
"""The training and the validation data."""


def given_data(
    recipe: Recipe, data: str | Path | Source | None, validation: str | Path | Source | None
) -> tuple[Recipe, DataHalves | None]:
    """The recipe with the places of data in files, and both halves of data that are not all in files."""
    if data is None and validation is None:
        return recipe, None
    given: str | Source = recipe.data.source if data is None else _place(data)
    own = None if validation is None else _place(validation)
    if isinstance(given, str) and (own is None or isinstance(own, str)):
        settings = msgspec.structs.replace(recipe.data, source=given, validation=own or recipe.data.validation)
        return msgspec.structs.replace(recipe, data=settings), None
    return recipe, open_halves(given, own, recipe.data.hold_out)


def _place(data: str | Path | Source) -> str | Source:
    return str(data) if isinstance(data, Path) else data


def open_training_data(data: DataSettings) -> DataHalves:
    """Open the training and the validation part.

    Raises:
        InputError: there are no such data, or they cannot be divided as the settings say.
    """
    # A shipped recipe names the data set that it is for by a word, where a path is needed.
    if data.source.isidentifier() and data.source != "digits" and not Path(data.source).exists():
        raise InputError(f"there are no data at {data.source!r}; pass --data with the path or URL where they lie")
    return open_halves(data.source, data.validation, data.hold_out)


def check_known_classes(training: Source, validation: Source) -> None:
    """Refuse validation data with a class that training does not know.

    Raises:
        InputError: with one such class.
    """
    unknown = sorted(set(validation.classes) - set(training.classes))
    if unknown:
        raise InputError(
            f"{len(unknown)} of the {len(validation.classes)} classes of the validation data, such as {unknown[0]!r}, "
            f"are not among the {len(training.classes)} classes of the training data; expected the same classes in both"
        )


def of_the_same_kind(validation: Source, recipe: Recipe, *, are_sets: bool) -> Source:
    """The validation data, whose images have as many classes each as those of training.

    Args:
        validation: the data.
        recipe: the configuration.
        are_sets: the training images may have several classes each.

    Raises:
        InputError: they may have several, and those of training have one.
        UsageError: settings that are not for images with several classes.
    """
    if are_sets:
        require_label_sets(recipe)
        return as_label_sets(validation)
    if is_multi_label(validation):
        raise InputError(
            f"the validation images of {validation.name} may have several classes each, and the training images have "
            "one; expected data of one kind"
        )
    return validation
