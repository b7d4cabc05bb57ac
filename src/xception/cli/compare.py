"""`xception compare`"""

from pathlib import Path

import msgspec

from xception.cli.engine import DEFAULT_ANSWERS, AnswerOptions
from xception.cli.models import check_order, open_model
from xception.cli.options import Html, Json, ModelOption, NoVerify, OptionalData, page_packages
from xception.cli.origin import made_here
from xception.cli.output import Watched, command, percent, points, print_facts, print_json, propose, say
from xception.cli.progress import progress_bar
from xception.data.source import Source
from xception.data.sources import open_source, packages_for
from xception.errors import CheckFailed, UsageError
from xception.extras import require_all
from xception.outputs import write_file
from xception.pipeline.requirements import packages_to_run
from xception.resolve import bundle_folder
from xception.tasks.compare import MARGIN, Comparison
from xception.tasks.compare import compare as run
from xception.tasks.documents import compare_documents
from xception.tasks.scored_rows import compare_rows
from xception.tasks.sharded_rows import is_result_table

SHOWN_FLIPS = 5

DOCUMENT_SUFFIX = ".json"


def compare(
    first: ModelOption,
    second: ModelOption,
    data: OptionalData = None,
    /,
    *,
    margin: float = MARGIN,
    require: bool = False,
    engine: AnswerOptions = DEFAULT_ANSWERS,
    no_verify: NoVerify = False,
    json: Json = False,
    html: Html = None,
) -> None:
    """Compare two models on the same labelled images: is the second as good as the first?

    ```
    xception compare digits-onnx digits-int8 digits
    xception compare model-onnx model-int8 photos/val --margin 0.005 --require
    xception compare monday.json friday.json
    ```

    Without DATA, the two are results of earlier runs. Documents that `evaluate --json` printed are compared in their
    figures and conditions. Files that `evaluate --predictions` wrote are compared image by image.

    Args:
        margin: Largest loss of top-1 accuracy that does not matter, as a fraction: 0.01 is one percentage point.
        require: Exit with code 1 unless the second is shown to lose less than the margin.
    """
    if data is None:
        _compare_documents(first, second, json=json)
        return
    models = (first, second)
    check_order("compare", *models, data, models=2)
    runtimes = [package for model in models for package in packages_to_run(model, engine.backend)]
    require_all(*runtimes, *packages_for(data), *page_packages(html))
    bundles = [open_model(model, verify=not no_verify) for model in models]
    source = open_source(data)
    with (
        engine.open(bundles[0], source) as one,
        engine.open(bundles[1], source) as other,
        progress_bar() as progress,
    ):
        result = run(one, other, Watched(source, progress, "comparing"), margin=margin)
    result = msgspec.structs.replace(result, provenance=result.provenance and made_here(result.provenance))
    if html:
        _write(html, result, source)
    if json:
        print_json(result)
    else:
        _print(result)
        propose(command("benchmark", second, data, "--against", first))
    if require and result.non_inferiority.verdict != "yes":
        raise CheckFailed(f"{second} is not shown to be as good as {first}: {result.non_inferiority.sentence()}")


def _compare_documents(first: str, second: str, *, json: bool) -> None:
    if all(map(is_result_table, (first, second))):
        _compare_rows(first, second, json=json)
        return
    if not all(name.endswith(DOCUMENT_SUFFIX) for name in (first, second)):
        places = (second, "DATA") if bundle_folder(Path(second)) else ("MODEL", second)
        raise UsageError(
            f"compare needs two models and the data on which they are compared: {command('compare', first, *places)}; "
            "or two documents that evaluate --json printed, or two results of evaluate --predictions or predict --out"
        )
    result = compare_documents(Path(first), Path(second))
    if json:
        print_json(result)
        return
    facts = {"data": result.data, "conditions that differ": f"{len(result.conditions)}"}
    facts |= {row.name: f"{row.first} -> {row.second}" for row in (*result.conditions, *result.figures)}
    if not result.figures:
        facts["figures"] = "the same" + ", as far as both documents state them" * bool(result.only_in_one)
    if result.only_in_one:
        facts["only in one"] = ", ".join(result.only_in_one)
    print_facts(facts)


def _compare_rows(first: str, second: str, *, json: bool) -> None:
    result = compare_rows(first, second)
    if json:
        print_json(result)
        return
    print_facts(
        {
            "images": f"{result.total} = {result.seen} seen + {result.failed} failed",
            "difference": points(result.difference),
            "right": f"{result.both_right} both, {result.first_only} only the first, "
            f"{result.second_only} only the second, {result.both_wrong} neither",
            "McNemar": f"p = {result.mcnemar_p:.3g}",
            "same class": f"{percent(result.agreement)}, {len(result.flips)} differ",
        }
    )


def _write(html: Path, result: Comparison, source: Source) -> None:
    from xception.report.comparison import render_comparison
    from xception.report.pictures import thumbnails

    pictures = thumbnails(source, (flip.path for flip in result.worst_flips))
    write_file(html, render_comparison(result, pictures).encode())


def _print(result: Comparison) -> None:
    print_facts(
        {
            "images": f"{result.total} = {result.seen} seen + {result.failed} failed",
            **({"damaged": f"{len(result.damaged)} of the images seen"} if result.damaged else {}),
            "first": f"{percent(result.first.score.top1)}  {result.first.bundle}",
            "second": f"{percent(result.second.score.top1)}  {result.second.bundle}",
            "difference": f"{points(result.difference)}, by bootstrap {points(result.bootstrap)}",
            "right": f"{result.both_right} both, {result.first_only} only the first, "
            f"{result.second_only} only the second, {result.both_wrong} neither",
            "McNemar": f"p = {result.mcnemar_p:.3g}",
            "same class": f"{percent(result.agreement)}, {result.flips} differ",
            "as good": result.non_inferiority.sentence(),
        }
    )
    for flip in result.worst_flips[:SHOWN_FLIPS]:
        say(
            f"changed: {flip.path}, of class {flip.label}: {flip.first} {flip.first_probability:.1%} -> "
            f"{flip.second} {flip.second_probability:.1%}"
        )
    for failure in result.failures:
        say(f"failed: {failure.path}: {failure.reason}")
    for image in result.damaged or ():
        say(f"damaged: {image.path}: {image.reason}")
