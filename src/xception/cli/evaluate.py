"""`xception evaluate`"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from xception.bundle import Bundle
from xception.cli.engine import DEFAULT_ANSWERS, AnswerOptions
from xception.cli.models import open_model
from xception.cli.options import (
    Csv,
    Html,
    Json,
    MaxFailed,
    NoVerify,
    OptionalData,
    OptionalModel,
    StrictImages,
    Top,
    check_at_least_one,
    check_failed,
    page_packages,
)
from xception.cli.origin import made_here
from xception.cli.output import Watched, percent, print_facts, print_json, progress_bar, say
from xception.cli.vendor_results import NO_RESULTS, VendorResults, score
from xception.data.source import Source
from xception.data.sources import open_source, packages_for
from xception.errors import UsageError
from xception.extras import require_all
from xception.labels import read_class_map
from xception.outputs import write_file
from xception.pipeline.requirements import packages_to_run
from xception.pipeline.sessions import Tta
from xception.tasks.evaluate import evaluate as run
from xception.tasks.evaluation import Evaluation
from xception.tasks.real_labels import RealLabels, read_real


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The answers that count as right."""

    top: Top = 5
    class_map: Annotated[
        Path | None, Parameter(help='JSON with the model\'s class by the data\'s, {"car": "automobile", ...}.')
    ] = None
    subset_classes: Annotated[
        bool, Parameter(help="Let the model choose only among the data's classes (default: among all of its own).")
    ] = False
    tta: Annotated[
        Tta | None, Parameter(help="Average the class probabilities of each image and its mirror image.")
    ] = None
    real: Annotated[
        Path | None,
        Parameter(
            help="JSON with several right answers per image (ReaL), by their names or in the order of the images."
        ),
    ] = None

    def real_labels(self, bundle: Bundle, source: Source) -> RealLabels | None:
        """The several right answers per image, if there are any."""
        return read_real(self.real, bundle.labels, len(source)) if self.real else None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvaluationOutput:
    """The forms in which the figures are given."""

    json: Json = False
    csv: Csv = False
    html: Html = None

    def check(self) -> None:
        """Refuse, before the work, what cannot be done after it.

        Raises:
            UsageError: two forms for the same place.
        """
        if self.json and self.csv:
            raise UsageError("--json and --csv exclude one another; choose one")


DEFAULT_SCORING = Scoring()
FIGURES_ON_SCREEN = EvaluationOutput()


def evaluate(
    model: OptionalModel = None,
    data: OptionalData = None,
    /,
    *,
    engine: AnswerOptions = DEFAULT_ANSWERS,
    no_verify: NoVerify = False,
    max_failed: MaxFailed = None,
    strict_images: StrictImages = False,
    scoring: Scoring = DEFAULT_SCORING,
    given: VendorResults = NO_RESULTS,
    output: EvaluationOutput = FIGURES_ON_SCREEN,
) -> None:
    """Measure accuracy on labelled images; every image counts, as seen or as failed.

    ```
    xception evaluate runs/digits/bundle digits --batch 32 --json
    xception evaluate xception65.ra3_in1k imagenette/val --subset-classes --tta flip
    xception evaluate --results result --vendor ascend --truth val_label.txt
    ```

    For --results, the model only tells the classes, which without it are ImageNet's.
    """
    if given and (output.csv or output.html):
        raise UsageError("--csv and --html are not there for --results; use --json")
    if given or model is None or data is None:
        score(given, model, data, json=output.json)
        return
    check_at_least_one(top=scoring.top)
    engine.check()
    output.check()
    require_all(
        *packages_to_run(model, engine.backend),
        *packages_for(data),
        *page_packages(output.html),
        *(("simplejpeg",) if strict_images else ()),
    )
    opened = open_model(model, verify=not no_verify)
    source = open_source(data)
    result = _evaluated(opened, source, engine, scoring, strict_images=strict_images)
    if output.html:
        _write(output.html, result, source)
    if output.json:
        print_json(result)
    elif output.csv:
        _print_csv(result)
    else:
        _print(result, next_step=f"xception benchmark {model} {data}")
    check_failed(result.seen, result.failed, max_failed)


def _evaluated(
    bundle: Bundle, source: Source, engine: AnswerOptions, scoring: Scoring, *, strict_images: bool
) -> Evaluation:
    real = scoring.real_labels(bundle, source)
    with engine.open(bundle, source) as runner, progress_bar() as progress:
        result = run(
            runner,
            Watched(source, progress, "evaluating"),
            top=scoring.top,
            class_map=read_class_map(scoring.class_map) if scoring.class_map else {},
            subset=scoring.subset_classes,
            tta=scoring.tta,
            real=real,
            strict_images=strict_images,
        )
    _warn_of_training_images(result)
    return msgspec.structs.replace(result, provenance=made_here(result.provenance))


def _warn_of_training_images(result: Evaluation) -> None:
    if result.trained_on:
        say(
            f"warning: the model was trained on {result.trained_on} of the {result.total} images, so that the figures "
            "are not those of new images; evaluate on images that were held out"
        )


def _print_csv(result: Evaluation) -> None:
    from xception.report.evaluation import evaluation_csv

    sys.stdout.write(evaluation_csv(result))


def _write(html: Path, result: Evaluation, source: Source) -> None:
    """Write the page; its pictures come from the data."""
    from xception.report.evaluation import render_evaluation
    from xception.report.pictures import thumbnails

    pictures = thumbnails(source, (mistake.path for mistake in result.mistakes))
    write_file(html, render_evaluation(result, pictures).encode())


def _print(result: Evaluation, next_step: str) -> None:
    print_facts(
        {
            "images": f"{result.total} = {result.seen} seen + {result.failed} failed",
            **({"damaged": f"{len(result.damaged)} of the images seen"} if result.damaged else {}),
            "top-1": percent(result.top1),
            **{f"top-{k}": percent(interval) for k, interval in enumerate(result.top_k[1:], 2)},
            "loss": _decimal(result.loss),
            "calibration error": _decimal(result.expected_calibration_error),
            **_further(result),
        }
    )
    for failure in result.failures:
        say(f"failed: {failure.path}: {failure.reason}")
    for image in result.damaged or ():
        say(f"damaged: {image.path}: {image.reason}")
    say(f"next: {next_step}")


def _further(result: Evaluation) -> dict[str, str]:
    """The figures that only some evaluations have."""
    facts = {}
    if result.real:
        left_out = f"{result.real.uncounted} images without any" if result.real.uncounted else "all images have one"
        facts["right answers"] = f"{percent(result.real.top1)}, {left_out}"
    if len(result.labels) == 2:
        facts["ROC-AUC"] = _decimal(result.roc_auc)
        facts["equal error rate"] = "-" if result.equal_error_rate is None else f"{result.equal_error_rate:.2%}"
    return facts


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
