"""Turning what a user names into a file that is here."""

from pathlib import Path

from xception.cli.output import progress_bar
from xception.convert.hub import fetch, is_fetchable


def local_path(target: str) -> Path:
    """The path itself, or the fetched copy of a hub's model, a URL or a catalog's entry, with a progress bar.

    Raises:
        InputError: no such file there.
        EnvironmentFault: it is not in the cache and the network is away.
    """
    if not is_fetchable(target):
        return Path(target)
    with progress_bar() as progress:
        task = progress.add_task(f"fetching {target}", total=None)
        return fetch(target, on_progress=lambda done, total: progress.update(task, completed=done, total=total))
