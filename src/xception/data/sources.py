"""Open a data set from what a user writes as `DATA`: by its name, or by what lies in a folder."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import msgspec

from xception import inputs
from xception.data.classes import DEVKIT
from xception.data.digits import digits
from xception.data.files import Below, Files, is_image, sentence
from xception.data.flat_folder import flat_folder
from xception.data.folder import image_folder
from xception.data.ground_truth import TRUTH_FILE
from xception.data.hold_out import DEFAULT, HoldOut, divide
from xception.data.inventory import announce, inventory_of
from xception.data.list_file import LIST_SUFFIXES, list_file
from xception.data.locations import above, base_name, is_folder, open_files
from xception.data.parquet import PARQUET_SUFFIX, parquet, parquet_rows
from xception.data.remote import is_remote, packages_for_files
from xception.data.shards import COMPRESSED_SUFFIXES, SHARD_SUFFIX, index_shards, shards
from xception.data.source import Lazy, Source, data_fingerprint
from xception.data.splits import SPLITS, Split, split_files, split_folder, split_of, split_part
from xception.data.synthetic import SYNTHETIC_PREFIX, SYNTHETIC_SYNTAX, synthetic
from xception.errors import InputError, UnknownName, UsageError

RUN_FILE = "run.json"
"""The description of a training run, in its folder."""

HUB_FOLDER = "data/"
"""Folder in which the Hugging Face hub's data sets have their files."""


@dataclass(frozen=True, kw_only=True)
class DataForm:
    """A form of data that its name tells."""

    help: str
    """The form as a user writes it."""
    fits: Callable[[str], bool]
    """Tells from the name, without a split, whether data have this form."""
    open: Callable[[str, Split | None], Source]
    packages: tuple[str, ...] = ()
    """The packages that opening it needs."""
    is_place: bool = True
    """Data of this form lie in files, which may be moved."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that holds a data set, or the part of one that was asked for."""

    files: Files
    name: str
    split: Split | None
    """The split that is still to be taken; None in the folder of a split."""
    around: list[Files]
    """The folders in which labels may lie as well."""


@dataclass(frozen=True, kw_only=True)
class FolderForm:
    """A form of data that the entries of a folder tell."""

    help: str
    """The content of such a folder, in words."""
    fits: Callable[[Set[str]], bool]
    """Tells from the names of a folder's entries whether it has this form; the names of folders end in `/`."""
    open: Callable[[Folder], Source]
    below: str = ""
    """The folder in the folder that is looked at, ending in `/`."""


def open_source(data: str | Path, split: Split | None = None) -> Source:
    """Open a labelled data set.

    Args:
        data: its path, URL or name, see `DATA_FORMS`; `:train`, `:validation` or `:test` after it selects a split and
            overrides `split`.
        split: the part to open, by default all images; `digits` by itself means its test part.

    Raises:
        InputError: no such data, or none that can be used.
        UnknownName: no such split.
        EnvironmentFault: the package that reads this form is not installed.
    """
    data, split = named_split(str(data), split)
    form = form_of(data)
    base, _, suffix = data.rpartition(":")
    if form is None and base and form_of(base):
        raise UnknownName("split", suffix, SPLITS)
    if form is None:
        raise InputError(f"{_nothing_at(data)} {DATA_WORDS}, where a folder holds {FOLDER_WORDS}")
    try:
        source = form.open(data, split)
    except OSError as error:
        raise InputError(sentence(error, data)) from error
    announce(source.name, inventory_of(source))
    return source


def _nothing_at(data: str) -> str:
    """The beginning of the sentence on a path, URL or name of no data."""
    if Path(data).is_file():
        kind = "one image" if is_image(data) else "a file of a form that is not known"
        return f"{data} is {kind}, and no data set; expected"
    return f"no data at {data!r}; {inputs.expected_for(data, ['digits'])}"


def open_halves(
    data: str | Source, validation: str | Source | None = None, hold_out: HoldOut = DEFAULT
) -> tuple[Source, Source]:
    """Open the part of the data that training sees, and the one that it is validated on.

    Args:
        data: data with both parts, or for training only where `validation` is given.
        validation: data of their own for validation.
        hold_out: the choice of the part that undivided data hold out.

    Raises:
        InputError: no such data, or data that cannot be divided so.
        UsageError: data with parts of their own are to be divided otherwise.
    """
    if validation is not None:
        _refuse_hold_out(hold_out, "the validation data are given")
        return _opened(data), _opened(validation)
    if not isinstance(data, str):
        return divide(data if isinstance(data, Lazy) else _as_lazy(data), hold_out)
    base, named = named_split(data, None)
    if named not in (None, "train"):
        raise InputError(
            f"{data} is one part of {base}; expected {base} itself, or data.validation with the images for validation"
        )
    training = open_source(base, "train")
    if isinstance(training, Lazy) and training.whole:
        return divide(training.whole, hold_out)
    _refuse_hold_out(hold_out, f"{base} has parts of its own")
    return training, open_source(base, "validation")


def _opened(data: str | Source) -> Source:
    return open_source(data) if isinstance(data, str) else data


def _as_lazy(source: Source) -> Lazy:
    return Lazy(source.name, source.classes, range(len(source)), source.__getitem__)


def _refuse_hold_out(hold_out: HoldOut, reason: str) -> None:
    if hold_out != DEFAULT:
        raise UsageError(f"data.hold_out does nothing where {reason}; leave it out, or name undivided data")


def _run_part(folder: Folder) -> Source:
    """A part of what a training run saw, by the description that the run left in its folder."""
    try:
        run = inputs.parse_json(folder.files.read(RUN_FILE), _Run)
    except msgspec.DecodeError as error:
        raise InputError(f"{folder.files.place}/{RUN_FILE} describes no run: {error}") from error
    if run.data.source is None:
        raise InputError(
            f"the run in {folder.files.place} was trained on images in a program's memory; expected data in files"
        )
    for place in filter(None, (run.data.source, run.data.validation)):
        if form_of(named_split(place, None)[0]) is None:
            raise InputError(
                f"the images of the run in {folder.files.place} no longer lie at {place}; name their new place, or "
                "pass it as --data to the same training with --resume, which notes it"
            )
    training, validation = open_halves(run.data.source, run.data.validation, run.data.hold_out)
    if folder.split == "train":
        return training
    expected = run.data.validation_part
    if data_fingerprint(validation) != expected.fingerprint:
        raise InputError(
            f"the images that the run in {folder.files.place} was validated on are no longer those at "
            f"{run.data.validation or run.data.source}: they were {expected.images}, and are {len(validation)} or "
            "others, which it may have been trained on; restore the data as they were, or name other images"
        )
    return validation


class _RunPart(msgspec.Struct):
    images: int
    fingerprint: str


class _RunData(msgspec.Struct):
    """The places of a run's data, which the rest of `run.json` goes with."""

    source: str | None
    validation: str | None
    hold_out: HoldOut
    validation_part: _RunPart


class _Run(msgspec.Struct):
    data: _RunData


def open_undivided(data: str, split: Split) -> Source:
    """Open all of a data set that is not divided, and only the part `split` of one that is; `open_source` has the
    errors."""
    source = open_source(data, split)
    is_named = named_split(data, None)[1] is not None
    return source.whole if isinstance(source, Lazy) and source.whole and not is_named else source


def packages_for(*data: str | None) -> tuple[str, ...]:
    """The packages that opening data sets needs, as far as their names tell; nothing is read, and None is no data."""
    names = [named_split(one, None)[0] for one in data if one is not None]
    forms = (form_of(name) for name in names)
    return (*packages_for_files(*names), *(package for form in forms if form for package in form.packages))


def named_split(data: str, split: Split | None) -> tuple[str, Split | None]:
    """Take the name of a split off the end of the data's; without one, return both as they are."""
    base, _, suffix = data.rpartition(":")
    named = split_of(suffix)
    return (base, named) if base and named and not Path(data).exists() else (data, split)


def absolute(data: str) -> str:
    """The data's place so that it holds in every folder; a URL or a name without a place as it is."""
    form = form_of(named_split(data, None)[0])
    return str(Path(data).absolute()) if form and form.is_place and not is_remote(data) else data


def form_of(data: str) -> DataForm | None:
    """The form of the data at a path, a URL or a name without a split; None for those of no known form."""
    return next((form for form in DATA_FORMS if data and form.fits(data)), None)


def open_folder(data: str, split: Split | None) -> Source:
    """Open a folder, a zip archive or a URL of either in the first of `FOLDER_FORMS` that fits.

    Raises:
        OSError: something cannot be read.
        InputError: the folder holds several splits and none is named, or data that cannot be used.
    """
    whole, name = open_files(data), base_name(data)
    part = split_folder(whole, split)
    if part:
        folder = Folder(files=Below(whole, part), name=f"{name}:{split}", split=None, around=[whole])
    else:
        folder = Folder(files=whole, name=name, split=split, around=above(data))
    return folder_form(folder.files).open(folder)


def folder_form(files: Files) -> FolderForm:
    """The first of `FOLDER_FORMS` that the entries of a folder fit, which every folder does.

    Raises:
        OSError: the folder cannot be read.
    """
    entries = files.entries()
    looked_at = {below: files.entries(below) for below in {form.below for form in FOLDER_FORMS} & {"", *entries}}
    return next(form for form in FOLDER_FORMS if form.below in looked_at and form.fits(looked_at[form.below]))


def _packed(
    title: str, suffix: str, open_files: Callable[[list[tuple[Files, str]], str], Lazy], below: str = ""
) -> FolderForm:
    """The form of a folder that holds files with many images each, which may belong to several splits."""

    def open_them(folder: Folder) -> Source:
        files = Below(folder.files, below) if below else folder.files
        names = sorted(entry for entry in files.entries() if entry.endswith(suffix))
        chosen, rest = split_files(names, folder.split, files.place)
        name = folder.name if rest == folder.split else f"{folder.name}:{folder.split}"
        return split_part(open_files([(files, entry) for entry in chosen], name), rest)

    return FolderForm(
        help=f"{title} (also in {HUB_FOLDER})",
        fits=lambda entries: any(entry.endswith(suffix) for entry in entries),
        open=open_them,
        below=below,
    )


def _is_flat(entries: Set[str]) -> bool:
    """Tell whether images lie in a folder itself, and no folders of classes next to them."""
    folders = {entry for entry in entries if entry.endswith("/") and entry[0] != "."} - {f"{DEVKIT}/", HUB_FOLDER}
    return not folders and any(map(is_image, entries))


def _any_of(forms: Sequence[DataForm] | Sequence[FolderForm]) -> str:
    """The help texts of some forms as one list in words, each once."""
    *others, last = dict.fromkeys(form.help for form in forms)
    return f"{', '.join(others)}, or {last}"


def _ends(*suffixes: str) -> Callable[[str], bool]:
    return lambda data: data.lower().endswith(suffixes) and not Path(data).is_dir()


FOLDER_FORMS = (
    FolderForm(
        help=f"a training run's {RUN_FILE} (the images that the run was validated on)",
        fits=lambda entries: RUN_FILE in entries,
        open=_run_part,
    ),
    _packed("parquet files", PARQUET_SUFFIX, parquet_rows),
    _packed("tar shards", SHARD_SUFFIX, index_shards),
    _packed("parquet files", PARQUET_SUFFIX, parquet_rows, below=HUB_FOLDER),
    _packed("tar shards", SHARD_SUFFIX, index_shards, below=HUB_FOLDER),
    FolderForm(
        help=f"images with {TRUTH_FILE} or ImageNet's {DEVKIT}",
        fits=_is_flat,
        open=lambda folder: split_part(flat_folder(folder.files, folder.name, folder.around), folder.split),
    ),
    FolderForm(
        help="class folders",
        fits=lambda _: True,
        open=lambda folder: split_part(image_folder(folder.files, folder.name), folder.split),
    ),
)
"""All forms of folders; the first one that fits is taken."""

DATA_FORMS = (
    DataForm(
        help="digits",
        fits=lambda data: data == "digits",
        open=lambda _, split: digits(split or "test"),
        packages=("sklearn",),
        is_place=False,
    ),
    DataForm(
        help=SYNTHETIC_SYNTAX,
        fits=lambda data: data.startswith(SYNTHETIC_PREFIX),
        open=synthetic,
        is_place=False,
    ),
    DataForm(help="tar shards (name-{000..009}.tar)", fits=_ends(SHARD_SUFFIX, *COMPRESSED_SUFFIXES), open=shards),
    DataForm(
        help="parquet files (name-{000..009}.parquet)",
        fits=_ends(PARQUET_SUFFIX),
        open=parquet,
        packages=("pyarrow",),
    ),
    DataForm(
        help="a list file (val_list.txt) with a path and a class per line",
        fits=_ends(*LIST_SUFFIXES),
        open=list_file,
    ),
    DataForm(
        help="a folder (also zipped or behind a URL)",
        fits=is_folder,
        open=open_folder,
    ),
)
"""All forms of data; the first one that fits is taken."""

DATA_WORDS, FOLDER_WORDS = _any_of(DATA_FORMS), _any_of(FOLDER_FORMS)
"""All forms of data, and of folders, in words."""

DATA_HELP = (
    f"A data set: {DATA_WORDS}. A folder holds {FOLDER_WORDS}. "
    f"{', '.join(f':{split}' for split in SPLITS[:-1])} or :{SPLITS[-1]} behind the name picks a part."
)
"""Help text of options that name a data set."""
