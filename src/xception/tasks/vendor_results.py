"""Results of vendors' tools: scored as they are, and written as their scorers read them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from xception import inputs
from xception.data.remote import is_remote
from xception.data.source import Source
from xception.errors import InputError
from xception.interchange import ascend, mindspore, vastai
from xception.interchange.vendor_answers import FAILURES, Outcome, Scores, Unreadable, read_lines
from xception.labels import Labels
from xception.metrics import Activation
from xception.outputs import ensure_free, staged_folder
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.prediction import answered
from xception.tasks.binary import check_classes
from xception.tasks.evaluation import Evaluation, FailedImage
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.provenance import provenance_of_answers
from xception.tasks.vendor_tally import ScoreMeaning, VendorTally, facts_of

Vendor = Literal["ascend", "mindspore", "vastai"]

MAX_TOP = 5
"""Up to which place accuracies are counted by default, and in the files of Ascend's scripts."""


@dataclass(frozen=True)
class TrueClasses:
    """The true class of every image, by its index, and the origin of these labels."""

    name: str
    targets: Mapping[str, int]


def truth_of_source(source: Source, labels: Labels) -> TrueClasses:
    """The labels of a data set, as indices of the model's classes.

    Raises:
        InputError: a class of the data is none of the model's, or an item has no label.
    """
    targets = labels.targets(source.classes)
    rows = {item.key: targets[index] for item in source if (index := item.class_index) is not None}
    if len(rows) != len(source):
        raise InputError(f"{len(source) - len(rows)} images of {source.name} have no label, or share another's key")
    return TrueClasses(source.name, rows)


def truth_of_file(file: Path, num_classes: int) -> TrueClasses:
    """The labels of a file, `NAME INDEX` or `NAME:INDEX`.

    Raises:
        InputError: a line that does not fit, or an index that is none of the model's.
    """
    rows = ascend.read_ascend_label_file(file)
    if max(rows.values()) >= num_classes:
        raise InputError(f"{file} holds class index {max(rows.values())}; expected 0 to {num_classes - 1}")
    return TrueClasses(file.name, rows)


def images_of_results(results: Path, datalist: Path | None = None) -> list[str]:
    """The images that VastAI's results are of, by their paths, and those that failed when they were written.

    Raises:
        InputError: none are named.
    """
    named = vastai.image_paths(results, datalist)
    return list(dict.fromkeys([*named, *(row.path for row in _read_failures(results, datalist))]))


def truth_of_folders(paths: Iterable[str], labels: Labels) -> TrueClasses:
    """The name of the folder that each image lies in, as VastAI's scorer has it.

    Raises:
        InputError: a folder is called like none of the model's classes.
    """
    rows = list(paths)
    targets = labels.targets([PurePosixPath(path).parent.name for path in rows])
    return TrueClasses("folder names", dict(zip(rows, targets, strict=True)))


def read_results(
    vendor: Vendor,
    results: Path,
    num_classes: int,
    datalist: Path | None = None,
    text: ascend.TextMeaning | None = None,
) -> Iterator[Outcome]:
    """The answers of a vendor's tool, image by image, and first the images that failed when they were written.

    Raises:
        InputError: no results there, or texts whose meaning is not clear.
    """
    yield from _read_failures(results, datalist)
    yield from _read_answers(vendor, results, num_classes, datalist, text)


def _read_answers(
    vendor: Vendor, results: Path, num_classes: int, datalist: Path | None, text: ascend.TextMeaning | None
) -> Iterator[Outcome]:
    if vendor == "vastai":
        return vastai.read_vastai_results(results, num_classes, datalist)
    if vendor == "mindspore":
        return mindspore.read_mindspore_results(results, num_classes)
    return ascend.read_ascend_results(results, num_classes, text)


def _read_failures(results: Path, datalist: Path | None) -> list[Unreadable]:
    """The images without a result, as `write_results` noted them in the folder around results; usually none.

    Raises:
        InputError: the file is not what `write_results` wrote.
    """
    folder = datalist.parent if datalist else results.parent if results.is_file() else results
    file = next((place / FAILURES for place in (folder, folder.parent) if (place / FAILURES).is_file()), None)
    if file is None:
        return []
    try:
        rows = [inputs.parse_json(line, FailedImage) for _, line in read_lines(file, "list of failures")]
    except msgspec.MsgspecError as error:
        raise InputError(f"{file} is no list of failed images: {error}; write the results again") from error
    return [Unreadable(row.path, row.reason) for row in rows]


def score_results(
    vendor: Vendor,
    results: Path,
    outcomes: Iterable[Outcome],
    truth: TrueClasses,
    labels: Labels,
    *,
    activation: Activation = "softmax",
    scores: ScoreMeaning | None = None,
    top: int = MAX_TOP,
    find_label_issues: bool = False,
) -> Evaluation:
    """Compare answers with the truth. An image without a usable answer counts as failed.

    Args:
        vendor: whose tool it was.
        results: the place of the answers.
        outcomes: the answers, see `read_results`.
        truth: the true classes.
        labels: the model's classes.
        activation: the way from its logits to probabilities.
        scores: meaning of the scores; by default they are probabilities if those of every image add up to one.
        top: the largest k of `top_k`.
        find_label_issues: look for images whose labels are likely wrong.

    Raises:
        InputError: two results for one image, or none for any.
        CheckFailed: scores are not numbers.
        MissingExtra: labels are to be checked, and cleanlab is not installed.
    """
    key = _key(vendor, truth)
    with KeptLogits("<f8") as kept:
        tally = VendorTally(labels, activation, scores, kept)
        extra = _add_all(tally, outcomes, results, truth, key)
        total = len(truth.targets)
        result = tally.evaluation(str(results), vendor, total, top=top, find_label_issues=find_label_issues)
    return msgspec.structs.replace(
        result,
        vendor=facts_of(tally, result, vendor, truth.name, extra),
        provenance=provenance_of_answers(
            truth.name,
            {key(path): target for path, target in truth.targets.items()},
            {"vendor": vendor, "scores": tally.meaning, "answers": tally.digest, "classes": labels.names},
        ),
    )


def _add_all(
    tally: VendorTally, outcomes: Iterable[Outcome], results: Path, truth: TrueClasses, key: Callable[[str], str]
) -> list[str]:
    """Count the answer to every image; returns the results that are of none."""
    images = _distinct(truth.targets, key)
    done: set[str] = set()
    extra: list[str] = []
    for outcome in outcomes:
        name = key(outcome.path)
        if name not in images:
            extra.append(outcome.path)
            continue
        if name in done:
            raise InputError(f"{results} holds two results for the image {images[name]}; remove the stale one")
        done.add(name)
        tally.add(outcome, images[name], truth.targets[images[name]])
    if extra and not done:
        raise InputError(
            f"none of the {len(extra)} results in {results}, such as {extra[0]}, is of an image of "
            f"{truth.name}, such as {next(iter(images.values()))}; expected the same names"
        )
    for name in images.keys() - done:
        tally.fail(images[name], "has no result")
    return extra


def _key(vendor: Vendor, truth: TrueClasses) -> Callable[[str], str]:
    """The name under which an image and its result are known.

    VastAI's results tell the folder too, which is needed where two folders hold files of the same name.
    """
    if vendor != "vastai":
        return ascend.file_stem
    return _stem if len(set(map(_stem, truth.targets))) == len(truth.targets) else _folder_and_stem


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _folder_and_stem(path: str) -> str:
    return f"{PurePosixPath(path).parent.name}/{_stem(path)}"


def _distinct(paths: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    images: dict[str, str] = {}
    for path in paths:
        if images.setdefault(key(path), path) != path:
            raise InputError(
                f"the images {images[key(path)]} and {path} are both known as {key(path)!r} to the tool; "
                "expected distinct file names"
            )
    return images


@dataclass(frozen=True)
class Written:
    """The number of images that have a result in a folder, and the images that have none."""

    seen: int
    failures: tuple[Failure, ...]


def write_results(vendor: Vendor, out: Path, engine: Engine, source: Source) -> Written:
    """Run the model over images, whose keys are their paths, and write its logits as the vendor's scorer reads them.

    Where all images lie in folders called like the model's classes, the scorer's label file is written too.

    Raises:
        UsageError: the model has no classes.
        InputError: `out` holds something, or names that the vendor's files cannot hold; nothing is left behind.
    """
    check_classes(engine.bundle)
    ensure_free(out)
    paths = [_absolute(source[index].key) for index in range(len(source))]
    if vendor != "vastai":
        _distinct(paths, ascend.file_stem)
    failures: list[Failure] = []
    labels = engine.bundle.labels

    def rows() -> Iterator[tuple[str, Scores]]:
        for path, outcome in zip(paths, map(answered, engine.judging().run(source)), strict=True):
            if isinstance(outcome, Scored):
                yield path, outcome.logits
            else:
                failures.append(outcome)

    with staged_folder(out, partial(ensure_free, out)) as folder:
        if vendor == "vastai":
            vastai.write_vastai_results(folder, rows(), labels, engine.bundle.model.activation)
        else:
            write = ascend.write_ascend_results if vendor == "ascend" else mindspore.write_mindspore_results
            write(folder, rows())
            _write_labels(vendor, folder, paths, labels)
        write_failures(folder, failures)
    return Written(len(paths) - len(failures), tuple(failures))


def write_failures(folder: Path, failures: Iterable[Failure]) -> None:
    """Name the images that have no result or no input, where there are any, in a file of the folder."""
    rows = [FailedImage(path=_absolute(failure.key), reason=failure.reason) for failure in failures]
    if rows:
        (folder / FAILURES).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _absolute(key: str) -> str:
    return key if is_remote(key) else str(Path(key).absolute())


def _write_labels(vendor: Vendor, folder: Path, paths: list[str], labels: Labels) -> None:
    try:
        truth = truth_of_folders(paths, labels)
    except InputError:
        return
    rows = [(PurePosixPath(path).name, target) for path, target in truth.targets.items()]
    if vendor == "ascend":
        ascend.write_ascend_label_file(folder / ascend.ASCEND_LABEL_FILE, rows)
    else:
        mindspore.write_mindspore_label_file(folder / mindspore.MINDSPORE_LABEL_FILE, rows)
