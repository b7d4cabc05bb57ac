"""`xception evaluate`"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from xception.bundle import Bundle
from xception.cli.engine import DEFAULT_ANSWERS, AnswerOptions
from xception.cli.evaluation_gates import NO_GATES, EvaluationGates
from xception.cli.models import check_order, open_model
from xception.cli.options import (
    Csv,
    Html,
    Json,
    KeepLogits,
    MaxFailed,
    NoVerify,
    OptionalData,
    OptionalModel,
    StrictImages,
    Threshold,
    Top,
    check_at_least_one,
    check_failed,
    page_packages,
)
from xception.cli.origin import made_here
from xception.cli.output import Watched, command, percent, print_facts, print_json, propose, say
from xception.cli.progress import progress_bar
from xception.cli.vendor_results import NO_RESULTS, VendorResults, score, warn
from xception.data.source import Items, Source, Target, is_multi_label
from xception.data.sources import open_source, packages_for
from xception.errors import UsageError
from xception.extras import require_all
from xception.interchange.ascend import Summary, summary_bytes
from xception.interchange.mindspore import accuracy_line
from xception.labels import class_map_of
from xception.outputs import write_file
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.requirements import packages_to_run
from xception.pipeline.sessions import Tta
from xception.tasks.evaluate import Observer
from xception.tasks.evaluate import evaluate as run
from xception.tasks.evaluation import Evaluation, LabelSetFigures
from xception.tasks.image_results import ResultMaker, packages_for_table, result_file
from xception.tasks.label_sets import SetTally
from xception.tasks.real_labels import RealLabels, read_real
from xception.tasks.scored_rows import evaluate_rows
from xception.tasks.tally import Tally
from xception.tasks.targets import named
from xception.tasks.vendor_results import MAX_TOP


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The answers that count as right."""

    top: Top = 5
    class_map: Annotated[
        str | None,
        Parameter(
            help='JSON file with the model\'s class for each of the data\'s: {"car": "automobile", ...}. `indices` in '
            "its place says that the data's classes are named by the model's indices."
        ),
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
            help="JSON file with several right answers per image (ReaL), by file name or in the order of the images."
        ),
    ] = None
    threshold: Threshold = None
    label_issues: Annotated[
        bool, Parameter(help="Name the images whose labels are likely wrong, by confident learning (cleanlab).")
    ] = False

    def packages(self) -> tuple[str, ...]:
        """The packages that these options need."""
        return ("cleanlab",) if self.label_issues else ()

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
    predictions: Annotated[
        Path | None,
        Parameter(help="Also write a row for each image, to a .parquet, .jsonl or .csv file that --results reads."),
    ] = None
    logits: KeepLogits = False
    result_json: Annotated[Path | None, Parameter(help="Write the accuracies here as Ascend's scripts do.")] = None
    result_log: Annotated[
        Path | None, Parameter(help="Write loss and accuracies here, as the line that MindSpore's zoo prints.")
    ] = None

    def check(self) -> None:
        """Refuse, before the work, what cannot be done after it.

        Raises:
            UsageError: two forms for the same place, or an option without what it is for.
        """
        if self.logits and not self.predictions:
            raise UsageError("--logits is for --predictions FILE; name that too")
        if self.json and self.csv:
            raise UsageError("--json and --csv exclude one another; choose one")


DEFAULT_SCORING = Scoring()
FIGURES_ON_SCREEN = EvaluationOutput()
NO_IMAGES = Items("results", (), ())
"""The images of results that were read from a file."""


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
    gates: EvaluationGates = NO_GATES,
) -> None:
    r"""Measure accuracy on labelled images; every image counts, as seen or as failed.

    ```
    xception evaluate runs/digits/bundle digits --batch 32 --json
    xception evaluate xception65.ra3_in1k imagenette/val --subset-classes \
        --tta flip
    xception evaluate runs/digits/bundle digits --predictions rows.parquet \
        --logits --min-top1 0.95
    xception evaluate --results rows.parquet --html page.html
    xception evaluate --results result --vendor ascend --truth val_label.txt
    ```

    With --results of a vendor's tool, the model only tells the classes. Without a model, they are ImageNet's.
    """
    output.check()
    gates.check()
    if given or model is None or data is None:
        result, source = _scored_results(model, data, given, scoring, output, gates)
        _give(result, output, source)
        _judge(result, max_failed, gates)
        return
    check_at_least_one(top=scoring.top)
    engine.check()
    check_order("evaluate", model, data)
    require_all(
        *packages_to_run(model, engine.backend),
        *packages_for(data),
        *page_packages(output.html),
        *packages_for_table(output.predictions),
        *(("simplejpeg",) if strict_images else ()),
        *scoring.packages(),
    )
    opened = open_model(model, verify=not no_verify)
    source = open_source(data)
    gates.check_kind(source.name, are_sets=is_multi_label(source))
    with _observer(output, scoring) as observe:
        result = _evaluated(opened, source, engine, scoring, strict_images=strict_images, observe=observe)
    _give(result, output, source, (command("predict", model, "photo.jpg"), command("benchmark", model, data)))
    _judge(result, max_failed, gates)


def _scored_results(
    model: str | None,
    data: str | None,
    given: VendorResults,
    scoring: Scoring,
    output: EvaluationOutput,
    gates: EvaluationGates,
) -> tuple[Evaluation, Source]:
    """Score what --predictions or a vendor's tool wrote, without running a model.

    Raises:
        UsageError: options that need a model to run, or that data of this kind know nothing of.
    """
    if given and (output.predictions or scoring.class_map or scoring.subset_classes or scoring.tta or scoring.real):
        raise UsageError(
            "--results scores existing answers; --predictions, --class-map, --subset-classes, --tta and "
            "--real need a model that runs"
        )
    check_at_least_one(top=scoring.top)
    require_all(*scoring.packages(), *page_packages(output.html), *packages_for_table(given.table))
    asked: dict[str, Any] = {"top": scoring.top, "find_label_issues": scoring.label_issues}
    if given.table:
        result = evaluate_rows(given.table, threshold=scoring.threshold, on_kind=gates.check_kind, **asked)
        source = None
    else:
        gates.check_kind(str(given.results), are_sets=False)
        scored = score(given, model, data, **asked)
        result, source = scored.evaluation, scored.source
    result = msgspec.structs.replace(result, provenance=result.provenance and made_here(result.provenance))
    return result, source or NO_IMAGES


def _judge(result: Evaluation, max_failed: int | None, gates: EvaluationGates) -> None:
    """Refuse figures, once they are given, that rest on too few images or are too low."""
    check_failed(result.seen, result.failed, max_failed)
    gates.judge(result)


def _give(result: Evaluation, output: EvaluationOutput, source: Source, following: Sequence[str] = ()) -> None:
    """Give the figures in the forms that were asked for."""
    if output.html:
        _write(output.html, result, source)
    _write_vendor_files(output, result)
    if output.json:
        print_json(result)
    elif output.csv:
        _print_csv(result)
    else:
        _print(result, following)


def _write_vendor_files(output: EvaluationOutput, result: Evaluation) -> None:
    """Write the accuracies as the vendors' scripts do."""
    top = tuple(interval.value for interval in result.top_k[:MAX_TOP])
    if output.result_json:
        classes = result.vendor.values if result.vendor else len(result.labels)
        summary = Summary(images=result.seen, classes=classes, accuracies=top)
        write_file(output.result_json, summary_bytes(summary))
    if output.result_log:
        # Of five classes or fewer, all are among the five likeliest.
        top5 = result.top5.value if result.top5 else 1.0 if result.seen and len(result.labels) <= MAX_TOP else None
        line = accuracy_line(result.loss, result.top1.value if result.top1 else None, top5)
        write_file(output.result_log, line.encode())


@contextmanager
def _observer(output: EvaluationOutput, scoring: Scoring) -> Iterator[Observer | None]:
    """A writer of one row per image, if rows were asked for."""
    if output.predictions is None:
        yield None
        return
    with result_file(output.predictions) as file:

        def observe(outcome: Scored | Failure, target: Target, tally: Tally | SetTally) -> None:
            maker = ResultMaker(
                tally.names, tally.activation, top=scoring.top, threshold=scoring.threshold, logits=output.logits
            )
            file.add(maker.row(outcome, named(target, tally.names), target))

        yield observe


def _evaluated(
    bundle: Bundle,
    source: Source,
    engine: AnswerOptions,
    scoring: Scoring,
    *,
    strict_images: bool,
    observe: Observer | None,
) -> Evaluation:
    real = scoring.real_labels(bundle, source)
    with engine.open(bundle, source) as runner, progress_bar() as progress:
        result = run(
            runner,
            Watched(source, progress, "evaluating"),
            top=scoring.top,
            class_map=class_map_of(scoring.class_map, source.classes),
            subset=scoring.subset_classes,
            tta=scoring.tta,
            real=real,
            strict_images=strict_images,
            find_label_issues=scoring.label_issues,
            threshold=scoring.threshold,
            observe=observe,
        )
    _warn_of_training_images(result)
    return msgspec.structs.replace(result, provenance=result.provenance and made_here(result.provenance))


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
    from xception.report.evaluation import render_evaluation, shown_images
    from xception.report.pictures import thumbnails

    pictures = thumbnails(source, shown_images(result))
    write_file(html, render_evaluation(result, pictures).encode())


def _print(result: Evaluation, following: Sequence[str]) -> None:
    print_facts(
        {
            "images": f"{result.total} = {result.seen} seen + {result.failed} failed",
            **({"damaged": f"{len(result.damaged)} of the images seen"} if result.damaged else {}),
            **(_of_sets(result, result.label_sets) if result.label_sets else _of_one_class(result)),
            **_further(result),
        }
    )
    if result.vendor:
        warn(result, result.vendor)
    for failure in () if result.vendor else result.failures:
        say(f"failed: {failure.path}: {failure.reason}")
    for image in result.damaged or ():
        say(f"damaged: {image.path}: {image.reason}")
    propose(*following)


def _of_one_class(result: Evaluation) -> dict[str, str]:
    """The figures of data with one class per image."""
    return {
        "top-1": percent(result.top1),
        **{f"top-{k}": percent(interval) for k, interval in enumerate(result.top_k[1:], 2)},
        "loss": _decimal(result.loss),
        "calibration error": _decimal(result.expected_calibration_error),
        "balanced accuracy": "-" if result.balanced_accuracy is None else f"{result.balanced_accuracy:.2%}",
        "macro F1": percent(result.macro.f1 if result.macro else None),
    }


def _of_sets(result: Evaluation, sets: LabelSetFigures) -> dict[str, str]:
    """The figures of multi-label data."""
    return {
        "mean average precision": percent(sets.mean_average_precision),
        "macro F1": f"{percent(result.macro.f1 if result.macro else None)} at the threshold {sets.threshold:g}",
        "micro F1": percent(sets.micro.f1),
        "exact match": percent(sets.exact_match),
        "hamming loss": _decimal(sets.hamming_loss),
        "loss": _decimal(result.loss),
        "calibration error": _decimal(result.expected_calibration_error),
    }


def _further(result: Evaluation) -> dict[str, str]:
    """The figures that only some evaluations have."""
    facts = {}
    if result.real:
        left_out = f"{result.real.uncounted} images without any" if result.real.uncounted else "all images have one"
        facts["right answers"] = f"{percent(result.real.top1)}, {left_out}"
    if result.roc_auc is not None:
        against = " of each class against the others" if len(result.labels) > 2 else ""
        facts["ROC-AUC"] = _decimal(result.roc_auc) + against
    if result.temperature:
        scaled, error = result.temperature, _decimal(result.temperature.expected_calibration_error)
        facts["temperature"] = f"{scaled.temperature:.3f}; calibration error {error} with that of other images"
    if result.confused:
        pair = result.confused[0]
        facts["most confused"] = f"{pair.label} as {pair.predicted}, {pair.count} of {pair.support}"
    if result.label_issues:
        facts["labels to look at"] = f"{result.label_issues.count} images, which --json and --html name"
    if len(result.labels) == 2 and not result.label_sets:
        facts["equal error rate"] = "-" if result.equal_error_rate is None else f"{result.equal_error_rate:.2%}"
    return facts


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
