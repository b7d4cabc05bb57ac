"""Options that several verbs share, each with one meaning and one help text."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.data.sources import DATA_HELP
from xception.errors import CheckFailed, UsageError
from xception.resolve import MODEL_FORMS
from xception.tasks import vendor_results

Json = Annotated[bool, Parameter(help="Print one JSON document.")]
Html = Annotated[Path | None, Parameter(help="Also write the result as an HTML page.")]
Csv = Annotated[bool, Parameter(help="Print one CSV table.")]
Out = Annotated[Path, Parameter(help="Folder of the result.")]
Overwrite = Annotated[bool, Parameter(help="Replace an earlier result that lies there.")]
NoVerify = Annotated[
    bool,
    Parameter(help="Open a bundle without comparing its files with their hashes. A message says what was skipped."),
]
Top = Annotated[int, Parameter(help="Number of likeliest classes per image to show or to score.")]
Threshold = Annotated[
    float | None,
    Parameter(
        help="Probability from which a class counts, for images with several classes. evaluate uses 0.5 by default. "
        "predict names all classes that count, in place of the likeliest ones, if this option is given."
    ),
]
VendorOption = Annotated[vendor_results.Vendor | None, Parameter(help="Vendor whose tools read or wrote the files.")]
StrictImages = Annotated[
    bool, Parameter(help="Count damaged JPEG files as failed (default: count them as seen, and name them).")
]
KeepLogits = Annotated[bool, Parameter(help="Also keep all numbers that the model gives for each image.")]
Unlabelled = Annotated[
    bool,
    Parameter(help="The data are images without labels: an image, or a folder of images in any depth."),
]
MaxFailed = Annotated[
    int | None,
    Parameter(help="Exit with code 1 if more images than this cannot be read (default: only if none can)."),
]
UpstreamPython = Annotated[
    str | None,
    Parameter(help="Python interpreter of another environment, which has the framework that this one lacks."),
]
MODEL_HELP = (
    f"A model: {MODEL_FORMS}. A graph file of another tool needs a config.json next to it, which says how it takes "
    "images. A URL names a checkpoint, or a bundle or run in object storage."
)
ModelOption = Annotated[str, Parameter(help=MODEL_HELP)]
OptionalModel = Annotated[str | None, Parameter(help=MODEL_HELP)]
Data = Annotated[str, Parameter(help=DATA_HELP)]
OptionalData = Annotated[str | None, Parameter(help=DATA_HELP)]
NotIn = Annotated[
    tuple[str, ...],
    Parameter(name="--not-in", help="A data set that may share no image with this one; may be repeated."),
]
Readers = Annotated[
    int | None,
    Parameter(
        help="Threads that read and prepare images (default: one more than cores); raise it where reading is slow."
    ),
]


def page_packages(html: Path | None) -> tuple[str, ...]:
    """The packages that draw a page, if one was asked for."""
    return ("jinja2", "matplotlib") if html else ()


def check_at_least_one(**numbers: int | None) -> None:
    """Refuse options, named with underscores, whose number is below one.

    Raises:
        UsageError: there is one.
    """
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {number}; expected at least 1")


def check_failed(seen: int, failed: int, max_failed: int | None) -> None:
    """Refuse a result, once it is shown, that rests on too few of the images.

    Args:
        seen: images that were read.
        failed: images that could not be read.
        max_failed: failures that are allowed; None allows all but the last image's.

    Raises:
        CheckFailed: none was seen, or more failed than are allowed.
    """
    if not seen:
        raise CheckFailed(f"none of the {failed} images was answered; the reasons are listed above")
    if max_failed is not None and failed > max_failed:
        raise CheckFailed(f"{failed} of {seen + failed} images could not be read, and --max-failed allows {max_failed}")
