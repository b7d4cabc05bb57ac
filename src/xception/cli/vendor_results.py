"""`xception evaluate --results`: what the verb does with results of a vendor's tool."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.cli.models import example_operands, open_model
from xception.cli.options import VendorOption
from xception.cli.output import command, say
from xception.data.remote import is_remote
from xception.data.source import Source
from xception.data.sources import open_source
from xception.errors import UsageError
from xception.interchange import ascend, mindspore
from xception.labels import Labels, imagenet1k
from xception.metrics import Activation
from xception.resolve import bundle_folder
from xception.tasks.evaluation import Evaluation, VendorFacts
from xception.tasks.sharded_rows import is_result_table
from xception.tasks.vendor_results import (
    TrueClasses,
    Vendor,
    images_of_results,
    read_results,
    score_results,
    truth_of_file,
    truth_of_folders,
    truth_of_source,
)
from xception.tasks.vendor_tally import ScoreMeaning

MAX_NAMED_IMAGES = 20
"""Images and files that are named on the screen; the JSON document names all."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VendorResults:
    """Options of `xception evaluate` for results that a vendor's tool wrote."""

    results: Annotated[
        str | None,
        Parameter(
            help="File or folder of results to score without a model: those of --predictions or predict --out, also at "
            "a URL, or those of a vendor's tool."
        ),
    ] = None
    vendor: VendorOption = None
    truth: Annotated[
        Path | None,
        Parameter(
            help="True classes of the images: a file with lines of NAME INDEX or NAME:INDEX, in place of a data set."
        ),
    ] = None
    datalist: Annotated[
        Path | None, Parameter(help="VastAI's list of input files, in the order of the .npz outputs.")
    ] = None
    text: Annotated[
        ascend.TextMeaning | None,
        Parameter(
            help="Meaning of the numbers in Ascend's text files: scores, or classes from the best to the worst "
            "(default: scores, unless they may be classes)."
        ),
    ] = None
    scores: Annotated[
        ScoreMeaning | None,
        Parameter(help="Meaning of a tool's scores (default: probabilities if those of every image add up to one)."),
    ] = None

    @property
    def table(self) -> str | None:
        """Path or URL of the file or folder of results image by image, if it is one that this program wrote."""
        is_table = self.vendor is None and self.results is not None and is_result_table(self.results)
        return self.results if is_table else None

    def __bool__(self) -> bool:
        """True if any of them is used."""
        return any((self.results, self.vendor, self.truth, self.datalist, self.text, self.scores))


NO_RESULTS = VendorResults()


@dataclass(frozen=True)
class ScoredResults:
    """The figures of a tool's results, and the images that they are of, where a data set was named."""

    evaluation: Evaluation
    source: Source | None


def score(
    given: VendorResults, model: str | None, data: str | None, *, top: int, find_label_issues: bool
) -> ScoredResults:
    """Score results.

    Args:
        given: the options; `results` and `vendor` are needed.
        model: tells the classes that the results are of; or the data set, if nothing else is named and it is no bundle.
        data: the data set that tells the true classes.
        top: places up to which accuracies are counted.
        find_label_issues: look for images whose labels are likely wrong.

    Raises:
        UsageError: arguments that do not go together, or nothing that tells the true classes.
        InputError: results, labels or data that cannot be used.
    """
    if not given:
        example = command("evaluate", *example_operands(model))
        raise UsageError(
            f"evaluate needs a model and a data set: {example}; to score a vendor's results, pass --results DIR"
        )
    if given.results is None or given.vendor is None:
        raise UsageError("--results DIR and --vendor ascend|mindspore|vastai belong together; pass both")
    if is_remote(given.results):
        raise UsageError("a vendor's results are read from a folder of this machine; copy them there")
    results = Path(given.results)
    if given.text and given.vendor != "ascend":
        raise UsageError("--text says what Ascend's texts mean; leave it out for the results of other tools")
    classes, activation, data = _model_and_data(model, data)
    source = open_source(data) if data else None
    truth = _truth(given.vendor, results, classes, source, given)
    outcomes = read_results(given.vendor, results, len(classes), given.datalist, given.text)
    evaluation = score_results(
        given.vendor,
        results,
        outcomes,
        truth,
        classes,
        activation=activation,
        scores=given.scores,
        top=top,
        find_label_issues=find_label_issues,
    )
    return ScoredResults(evaluation, source)


def _model_and_data(model: str | None, data: str | None) -> tuple[Labels, Activation, str | None]:
    if model and (data or bundle_folder(Path(model))):
        opened = open_model(model)
        return opened.labels, opened.model.activation, data
    return imagenet1k(), "softmax", model


def _truth(vendor: Vendor, results: Path, classes: Labels, source: Source | None, given: VendorResults) -> TrueClasses:
    if source and given.truth:
        raise UsageError("a data set and --truth both tell the classes; name one of them")
    if source:
        return truth_of_source(source, classes)
    file = given.truth or _labels_beside(vendor, results)
    if file:
        return truth_of_file(file, len(classes))
    if vendor != "vastai":
        raise UsageError("the results do not tell the true classes; name a data set, or pass --truth FILE")
    return truth_of_folders(images_of_results(results, given.datalist), classes)


def _labels_beside(vendor: Vendor, results: Path) -> Path | None:
    """The label file that `xception predict --vendor` puts next to its results."""
    names = {"ascend": ascend.ASCEND_LABEL_FILE, "mindspore": mindspore.MINDSPORE_LABEL_FILE}
    file = results / names[vendor] if vendor in names else None
    return file if file and file.is_file() else None


def warn(scored: Evaluation, facts: VendorFacts) -> None:
    """Say what was not scored, and the range in which the accuracy of all images lies."""
    _name("failed", [f"{failure.path}: {failure.reason}" for failure in scored.failures])
    _name(f"of no image of {facts.truth}, so not scored", facts.extra)
    if scored.failed:
        low, high = facts.top1_of_all
        say(
            f"WARNING: {scored.failed:,} of {scored.total:,} images were not scored, and the accuracy is only of the "
            f"others; top-1 of all lies between {low:.2%} and {high:.2%}"
        )
    if facts.scores == "unknown":
        say(
            "WARNING: the scores lie between 0 and 1 and do not add up to 1, so that there is no loss, calibration or "
            "curve; say what they are with --scores probabilities or --scores logits"
        )


def _name(what: str, rows: Sequence[str]) -> None:
    for row in rows[:MAX_NAMED_IMAGES]:
        say(f"{what}: {row}")
    if len(rows) > MAX_NAMED_IMAGES:
        say(f"{what}: {len(rows) - MAX_NAMED_IMAGES:,} more, which --json names")
