"""From what a user writes (`DATA`) to a data source."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from xception.data.classes import DEVKIT
from xception.data.digits import digits
from xception.data.files import Below, Files, is_image, sentence
from xception.data.flat_folder import flat_folder
from xception.data.folder import image_folder
from xception.data.ground_truth import LABEL_FILE
from xception.data.listed import SUFFIXES as LIST_SUFFIXES
from xception.data.listed import listed
from xception.data.parquet import SUFFIX as PARQUET
from xception.data.parquet import parquet, parquet_rows
from xception.data.places import above, base_name, is_zip, open_files
from xception.data.remote import is_remote
from xception.data.shards import COMPRESSED, indexed_shards, shards
from xception.data.shards import SUFFIX as TAR
from xception.data.source import Source
from xception.data.splits import SPLITS, Split, divided, split_files, split_folder
from xception.data.synthetic import FORM as SYNTHETIC
from xception.data.synthetic import PREFIX, synthetic
from xception.errors import InputError, UnknownName


class Form(NamedTuple):
    """A form of data: how it is written, how it is recognised by its name, and what opens it."""

    written: str
    fits: Callable[[str], bool]
    open: Callable[[str, Split | None], Source]


def open_source(data: str, split: Split | None = None) -> Source:
    """Open a labelled data set.

    Args:
        data: its path, its URL or its name, see `FORMS`; `:train`, `:validation` or `:test` behind it picks a split and
            overrides `split`.
        split: the part that the caller is to see. `digits` without any is its held-out test part.

    Raises:
        InputError: no such data, or none that can be used.
        UnknownName: no such split.
        EnvironmentFault: what reads this form is not installed.
    """
    data, split = named_split(data, split)
    form = _form(data)
    base, _, suffix = data.rpartition(":")
    if form is None and base and _form(base):
        raise UnknownName("split", suffix, SPLITS)
    if form is None:
        raise InputError(f"no data at {data!r}; expected {'; '.join(form.written for form in FORMS)}")
    try:
        return form.open(data, split)
    except OSError as error:
        raise InputError(sentence(error, data)) from error


def named_split(data: str, split: Split | None) -> tuple[str, Split | None]:
    """The data without the split that their name ends in, and that split; or both as they are."""
    base, _, suffix = data.rpartition(":")
    if suffix in SPLITS and not Path(data).exists():
        return base, suffix
    return data, split


def _form(data: str) -> Form | None:
    return next((form for form in FORMS if data and form.fits(data)), None)


def _open_folder(data: str, split: Split | None) -> Source:
    """What lies in a folder says what it is."""
    whole, name = open_files(data), base_name(data)
    folder = split_folder(whole, split)
    files: Files = Below(whole, folder) if folder else whole
    if folder:
        name, split = f"{name}:{split}", None
    packed = _packed(files, name, split)
    if packed is not None:
        return packed
    if _is_flat(files.entries()):
        return divided(flat_folder(files, name, [whole] if folder else above(data)), split)
    return divided(image_folder(files, name), split)


def _packed(files: Files, name: str, split: Split | None) -> Source | None:
    """The parquet files or shards that lie in a folder, or in `data` in it, if there are any."""
    for place in (files, Below(files, "data/")) if "data/" in files.entries() else (files,):
        for suffix, open_them in ((PARQUET, parquet_rows), (TAR, indexed_shards)):
            found = sorted(entry for entry in place.entries() if entry.endswith(suffix))
            if found:
                chosen, rest = split_files(found, split, files.place)
                named = name if rest == split else f"{name}:{split}"
                return divided(open_them([(place, entry) for entry in chosen], named), rest)
    return None


def _is_flat(entries: set[str]) -> bool:
    """Whether images lie in a folder itself, and no classes beside them."""
    folders = {entry for entry in entries if entry.endswith("/") and entry[0] != "."} - {f"{DEVKIT}/", "data/"}
    return not folders and any(map(is_image, entries))


def _ends(*suffixes: str) -> Callable[[str], bool]:
    return lambda data: data.lower().endswith(suffixes) and not Path(data).is_dir()


FORMS = (
    Form("digits", lambda data: data == "digits", lambda _, split: digits(split or "test")),
    Form(SYNTHETIC, lambda data: data.startswith(PREFIX), synthetic),
    Form("tar shards as name-{000..009}.tar", _ends(TAR, *COMPRESSED), shards),
    Form("parquet files as name-{000..009}.parquet", _ends(PARQUET), parquet),
    Form("a list file as val_list.txt, with a path and a class index a line", _ends(*LIST_SUFFIXES), listed),
    Form(
        "a folder, a zip archive or a URL of one, with class folders, with shards or parquet files, or with images and "
        f"{LABEL_FILE} or ImageNet's {DEVKIT}",
        lambda data: Path(data).is_dir() or is_zip(data) or is_remote(data),
        _open_folder,
    ),
)
"""All forms of data; the first one that fits is taken."""
