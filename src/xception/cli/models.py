"""The models that users name: opened with a progress bar, after a look at what the request lacks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xception import resolve
from xception.bundle import Bundle, unverified_sentence
from xception.cli.output import say
from xception.cli.progress import progress_bar
from xception.resolve import ModelPlace, resolve_model


def open_model(reference: str, *, verify: bool = True) -> Bundle:
    """The bundle of a model, fetched and converted first where that is needed; `resolve_model` has the errors."""
    with _fetching(reference) as on_progress:
        bundle = resolve_model(reference, verify=verify, on_progress=on_progress, on_note=say)
    if not bundle.verify:
        say(unverified_sentence(bundle.path))
    return bundle


def local_file(place: ModelPlace) -> Path:
    """The file or folder of a model, fetched if it lies elsewhere; `hub.fetch` has the errors."""
    with _fetching(place.address) as on_progress:
        return resolve.local_path(place, on_progress)


@contextmanager
def _fetching(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar that appears when something is fetched."""
    with progress_bar() as progress:
        task = progress.add_task(f"fetching {what}", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)
