"""Open images that are to be classified, with labels or without, in any form of data."""

import re
from collections.abc import Callable, Sequence

from xception.data.files import Files, is_image, sentence
from xception.data.folder import image_files
from xception.data.inventory import announce
from xception.data.locations import base_name, locate, open_files
from xception.data.parquet import PARQUET_SUFFIX, parquet, parquet_rows
from xception.data.remote import is_remote
from xception.data.shards import SHARD_SUFFIX, expand_braces, index_shards, shards
from xception.data.source import Lazy, Source
from xception.data.sources import FOLDER_FORMS, DataForm, folder_form, form_of, named_split, open_folder, open_source
from xception.data.splits import Split, split_of, split_part
from xception.errors import InputError

IMAGE_FORMS = FOLDER_FORMS[-2:]
"""Forms of folders whose images are files of their own."""

LETTERS = re.compile("[A-Za-z]*")

OpenData = Callable[[str, Split | None], Source]

PACKED: tuple[tuple[str, OpenData, Callable[..., Lazy]], ...] = (
    (PARQUET_SUFFIX, parquet, parquet_rows),
    (SHARD_SUFFIX, shards, index_shards),
)
"""Endings of files that hold many images, with what opens such data by their name, and what reads the files."""


def open_images(places: Sequence[str]) -> Source:
    """One data set in any form, or files and folders of images.

    A folder of images is read in all depths: its folders are not taken for classes unless a part of it is named. Tar
    shards and parquet files need no classes.

    Raises:
        InputError: no such images, or none that can be used.
        UnknownName: no such split.
        EnvironmentFault: the package that reads this form is not installed.
    """
    place, split = named_split(places[0], None) if len(places) == 1 else ("", None)
    form = form_of(place)
    if form is None or (is_remote(place) and is_image(place)):
        return image_files(places)
    try:
        for suffix, opens, read in PACKED:
            packed = _packed_at(place, form, suffix, opens)
            if packed:
                source = split_part(read(packed, base_name(place), labelled=False), split)
                announce(source.name, source.inventory)
                return source
        if form.open is open_folder and not split and folder_form(open_files(place)) in IMAGE_FORMS:
            return image_files(places)
    except OSError as error:
        raise InputError(sentence(error, place)) from error
    return open_source(places[0])


def _packed_at(place: str, form: DataForm, suffix: str, opens: OpenData) -> list[tuple[Files, str]]:
    """The files of many images each that a place names, or that lie in its folder; none of a folder that holds several
    splits."""
    if form.open is opens and place.endswith(suffix):
        return [locate(file) for file in expand_braces(place)]
    if form.open is not open_folder:
        return []
    files = open_files(place)
    names = sorted(entry for entry in files.entries() if entry.endswith(suffix))
    beginnings = (found[0] for name in names if (found := LETTERS.match(name)))
    return [] if any(map(split_of, beginnings)) else [(files, name) for name in names]
