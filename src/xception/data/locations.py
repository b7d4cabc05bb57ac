"""The files that a path or URL names."""

from pathlib import Path

from xception.data.archive import ZipFiles
from xception.data.files import Below, Files, LocalFiles
from xception.data.remote import RemoteFiles, is_remote
from xception.screen import without_credentials

LOCAL = "file://"


def open_files(place: str) -> Files:
    """The files of a folder, a zip archive, or a URL of either.

    `zip::URL` says that a URL is that of an archive whatever its name, `zip://FOLDER::URL` names a folder in it.

    Raises:
        OSError: a zip archive that cannot be read.
        InputError: a file that is no zip archive.
        UsageError: a URL of no known kind.
        EnvironmentFault: the package that reads it is not installed.
    """
    if is_zip(place):
        folder, archive = _parts(place)
        members = ZipFiles(*locate(archive))
        return Below(members, f"{folder}/") if folder else members
    if place.startswith(LOCAL):
        return LocalFiles(Path(place.removeprefix(LOCAL)))
    return RemoteFiles(place) if is_remote(place) else LocalFiles(Path(place))


def above(place: str) -> list[Files]:
    """The folder in which a place lies, if there is one; for a place in an archive, the folder of the archive."""
    if is_zip(place):
        return [locate(_parts(place)[1])[0]]
    if not is_remote(place):
        return [LocalFiles(Path(place).resolve().parent)]
    folder = place.rstrip("/").rpartition("/")[0]
    return [] if folder.endswith("/") else [open_files(folder)]


def _parts(place: str) -> tuple[str, str]:
    """The folder in an archive, and the archive's own place."""
    if not place.startswith("zip:"):
        return "", place
    inner, _, archive = place.removeprefix("zip").partition("::")
    return inner.removeprefix("://").strip("/"), archive


def is_zip(place: str) -> bool:
    """Tell whether a place is that of a zip archive."""
    return place.startswith(("zip::", "zip://")) or place.lower().endswith(".zip")


def is_folder(place: str) -> bool:
    """Tell whether a place is a folder of this machine, a zip archive, or a URL."""
    return Path(place).is_dir() or is_zip(place) or is_remote(place)


def locate(place: str) -> tuple[Files, str]:
    """Split a file's place into the folder's files and the name there."""
    folder, slash, name = place.rpartition("/")
    return open_files(folder or slash or "."), name


def base_name(place: str) -> str:
    """The name of a place: its last part."""
    place = _parts(place)[1]
    if not is_remote(place):
        return Path(place).resolve().name
    return without_credentials(place.rstrip("/")).rpartition("/")[2]
