"""The models that users name: opened with a progress bar, after a look at what the request lacks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from xception import resolve
from xception.bundle import Bundle, unverified_sentence
from xception.cli.output import command, say
from xception.cli.progress import progress_bar
from xception.cli.suggestions import EXAMPLE_WEIGHTS
from xception.data.files import is_image
from xception.data.sources import form_of, named_split
from xception.errors import InputError, UsageError
from xception.resolve import ModelPlace, bundle_folder, resolve_model

MAX_ENTRIES_SEEN = 10_000
"""Entries of a folder that are looked at to tell whether it holds images."""


def open_model(reference: str, *, verify: bool = True) -> Bundle:
    """The bundle of a model, fetched and converted first where that is needed; `resolve_model` has the errors."""
    with told_from_images(reference), _fetching(reference) as on_progress:
        bundle = resolve_model(reference, verify=verify, on_progress=on_progress, on_note=say)
    if not bundle.verify:
        say(unverified_sentence(bundle.path))
    return bundle


def check_order(verb: str, *places: str, models: int = 1) -> None:
    """Refuse models that stand behind the images that they are to be used on.

    Args:
        verb: the verb.
        places: what was given, in its order.
        models: the number of models that the verb takes; they come first.

    Raises:
        UsageError: a data set or an image stands in a model's place, and a bundle behind it.
    """
    are_bundles = [bundle_folder(Path(place)) is not None for place in places]
    wrong = next((place for place, is_one in zip(places[:models], are_bundles, strict=False) if not is_one), None)
    if wrong is not None and any(are_bundles[models:]) and _is_data(wrong):
        found = [place for place, is_one in zip(places, are_bundles, strict=True) if is_one]
        ordered = [*found, *(place for place in places if place not in found)]
        first = "the model comes" if models == 1 else "models come"
        raise UsageError(f"{found[-1]} is a model, and {first} first: {command(*verb.split(), *ordered)}")


def example_operands(given: str | None) -> tuple[str, str]:
    """A model and data, one of which is given, and the other named by a word in capitals."""
    if given and not bundle_folder(Path(given)) and _is_data(given):
        return "MODEL", given
    return given or "MODEL", "DATA"


def _is_data(place: str) -> bool:
    folder = Path(place)
    if folder.is_dir():
        return any(entry.is_dir() or is_image(entry.name) for entry in folder.iterdir())
    return form_of(named_split(place, None)[0]) is not None or is_image(place)


def local_file(place: ModelPlace) -> Path:
    """The file or folder of a model, fetched if it lies elsewhere; `hub.fetch` has the errors."""
    with _fetching(place.address) as on_progress:
        return resolve.local_path(place, on_progress)


@contextmanager
def told_from_images(reference: str) -> Iterator[None]:
    """Say of images in a model's place that they are images, where they could not be read as a model."""
    try:
        yield
    except InputError as error:
        if misplaced := images_in_place_of_model(reference):
            raise UsageError(misplaced) from error
        raise


def images_in_place_of_model(place: str) -> str:
    """The sentence on an image or a folder of images where a model was expected; empty for all else."""
    path = Path(place)
    if path.is_file() and is_image(place):
        return f"{place} is an image, not a model; to classify it: {command('predict', EXAMPLE_WEIGHTS, place)}"
    if path.is_dir() and not bundle_folder(path) and _holds_images(path):
        return f"{place} is a folder of images, not a model; to train on it: {command('train', place)}"
    return ""


def _holds_images(folder: Path) -> bool:
    """Tell whether images lie in a folder, or in one of its folders."""
    inside = chain.from_iterable(one.iterdir() for one in (folder, *filter(Path.is_dir, folder.iterdir())))
    return any(is_image(entry.name) for entry in islice(inside, MAX_ENTRIES_SEEN))


@contextmanager
def _fetching(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar that appears when something is fetched."""
    with progress_bar() as progress:
        task = progress.add_task(f"fetching {what}", total=None, visible=False, unit="bytes")
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)
