"""A data set as it lies there, for a check: a source of its images, and what is wrong beside them."""

from pathlib import Path

from xception.checks.findings import Finding
from xception.checks.list_faults import survey_list
from xception.checks.strays import strays
from xception.data.classes import read_text
from xception.data.files import Below, Files, sentence
from xception.data.ground_truth import LABEL_FILE
from xception.data.listed import SUFFIXES as LIST_SUFFIXES
from xception.data.places import is_zip, locate, open_files
from xception.data.remote import is_remote
from xception.data.source import Source
from xception.data.sources import named_split, open_source
from xception.data.splits import divided, split_folder
from xception.errors import InputError


def survey(data: str) -> tuple[Source, list[Finding]]:
    """Open a data set in any of its forms. What makes a list unusable elsewhere is a finding here.

    Raises:
        InputError: no such data, or none that can be used.
        UnknownName: no such split.
        EnvironmentFault: what reads this form is not installed.
    """
    place, split = named_split(data, None)
    try:
        if place.lower().endswith(LIST_SUFFIXES) and not Path(place).is_dir():
            files, name = locate(place)
            text = read_text(files, name)
            if text is not None:
                source, found = survey_list(name, text, files)
                return divided(source, split), found
        if Path(place).is_dir() or is_zip(place) or is_remote(place):
            files = open_files(place)
            folder = split_folder(files, split)
            return _folder(data, Below(files, folder) if folder else files)
    except OSError as error:
        raise InputError(sentence(error, data)) from error
    return open_source(data), []


def _folder(data: str, files: Files) -> tuple[Source, list[Finding]]:
    text = read_text(files, LABEL_FILE)
    if text is not None:
        return survey_list(LABEL_FILE, text, files)
    source = open_source(data)
    # In flat folders and those of shards nothing but the labels or the shards says what counts.
    return source, list(strays(files)) if any(entry.rstrip("/") in source.classes for entry in files.entries()) else []
