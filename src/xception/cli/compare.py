"""`xception compare`"""

from pathlib import Path

from xception.cli.engine import DEFAULT_ANSWERS, AnswerOptions
from xception.cli.models import open_model
from xception.cli.options import Data, Html, Json, ModelOption, NoVerify, page_packages
from xception.cli.output import Watched, percent, points, print_facts, print_json, progress_bar, say
from xception.data.source import Source
from xception.data.sources import open_source, packages_for
from xception.errors import CheckFailed
from xception.extras import require_all
from xception.outputs import write_file
from xception.pipeline.requirements import packages_to_run
from xception.tasks.compare import MARGIN, Comparison
from xception.tasks.compare import compare as run

SHOWN_FLIPS = 5


def compare(
    first: ModelOption,
    second: ModelOption,
    data: Data,
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
    ```

    Args:
        margin: Largest loss of top-1 accuracy that does not matter, as a fraction: 0.01 is one point in a hundred.
        require: Exit with code 1 unless the second is shown to lose less than the margin.
    """
    models = (first, second)
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
    if html:
        _write(html, result, source)
    if json:
        print_json(result)
    else:
        _print(result)
    if require and result.non_inferiority.verdict != "yes":
        raise CheckFailed(f"{second} is not shown to be as good as {first}: {result.non_inferiority.sentence()}")


def _write(html: Path, result: Comparison, source: Source) -> None:
    from xception.report.comparison import render_comparison
    from xception.report.pictures import thumbnails

    pictures = thumbnails(source, (flip.path for flip in result.worst_flips))
    write_file(html, render_comparison(result, pictures).encode())


def _print(result: Comparison) -> None:
    print_facts(
        {
            "images": f"{result.total} = {result.seen} seen + {result.failed} failed",
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
            f"{flip.path} ({flip.label}): {flip.first} {flip.first_probability:.1%} -> "
            f"{flip.second} {flip.second_probability:.1%}"
        )
    for failure in result.failures:
        say(f"failed: {failure.path}: {failure.reason}")
