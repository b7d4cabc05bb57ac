"""A data set for a check: the source of its images, and the faults of its folder or its list."""

from xception.checks.findings import Finding
from xception.checks.list_faults import survey_list
from xception.checks.unused_files import unused_files
from xception.data.classes import read_text
from xception.data.files import Below, Files, sentence
from xception.data.ground_truth import TRUTH_FILE
from xception.data.list_file import list_file
from xception.data.locations import locate, open_files
from xception.data.source import Source
from xception.data.sources import form_of, named_split, open_folder, open_source
from xception.data.splits import split_folder, split_part
from xception.errors import InputError


def survey(data: str) -> tuple[Source, list[Finding]]:
    """Open a data set in any of its forms. What makes a list unusable elsewhere is a finding here.

    Raises:
        InputError: no such data, or none that can be used.
        UnknownName: no such split.
        EnvironmentFault: the package that reads this form is not installed.
    """
    place, split = named_split(data, None)
    form = form_of(place)
    try:
        if form and form.open is list_file:
            files, name = locate(place)
            text = read_text(files, name)
            if text is not None:
                source, found = survey_list(name, text, files)
                return split_part(source, split), found
        if form and form.open is open_folder:
            files = open_files(place)
            part = split_folder(files, split)
            return _survey_folder(data, Below(files, part) if part else files)
    except OSError as error:
        raise InputError(sentence(error, data)) from error
    return open_source(data), []


def _survey_folder(data: str, files: Files) -> tuple[Source, list[Finding]]:
    text = read_text(files, TRUTH_FILE)
    if text is not None:
        return survey_list(TRUTH_FILE, text, files)
    source = open_source(data)
    # In flat folders and those of shards nothing but the labels or the shards says what counts.
    has_class_folders = any(entry.rstrip("/") in source.classes for entry in files.entries())
    return source, list(unused_files(files)) if has_class_folders else []
