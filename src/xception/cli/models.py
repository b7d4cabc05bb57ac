"""The models that users name: opened with a progress bar, after a look at what the request lacks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xception import resolve
from xception.bundle import Bundle, unverified_sentence
from xception.cli.output import command, say
from xception.cli.progress import progress_bar
from xception.data.files import is_image
from xception.data.sources import form_of, named_split
from xception.errors import UsageError
from xception.resolve import ModelPlace, bundle_folder, resolve_model


def open_model(reference: str, *, verify: bool = True) -> Bundle:
    """The bundle of a model, fetched and converted first where that is needed; `resolve_model` has the errors."""
    with _fetching(reference) as on_progress:
        bundle = resolve_model(reference, verify=verify, on_progress=on_progress, on_note=say)
    if not bundle.verify:
        say(unverified_sentence(bundle.path))
    return bundle


def check_order(verb: str, model: str, *others: str) -> None:
    """Refuse a model that stands behind the images that it is to be used on.

    Args:
        verb: the verb.
        model: what stands in the model's place.
        others: what stands behind it.

    Raises:
        UsageError: the first is a data set or an image, and one of the others a bundle.
    """
    found = next((place for place in others if bundle_folder(Path(place))), None)
    if found is not None and not bundle_folder(Path(model)) and _is_data(model):
        rest = [place for place in (model, *others) if place != found]
        raise UsageError(f"{found} is a model, and the model comes first: {command(*verb.split(), found, *rest)}")


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
def _fetching(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar that appears when something is fetched."""
    with progress_bar() as progress:
        task = progress.add_task(f"fetching {what}", total=None, visible=False, unit="bytes")
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)
