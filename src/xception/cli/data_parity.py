"""`xception data parity`"""

from collections.abc import Iterator, Sequence

import msgspec

from xception.bundle import Bundle
from xception.cli.engine import DEFAULT_ENGINE, EngineOptions
from xception.cli.models import check_order, open_model
from xception.cli.options import Data, Json, ModelOption, NoVerify, Unlabelled
from xception.cli.origin import made_here
from xception.cli.output import Watched, command, percent, points, print_json, print_rows, propose, say
from xception.cli.progress import progress_bar
from xception.data.folder import image_files
from xception.data.sources import open_source, packages_for
from xception.extras import require_all
from xception.pipeline.requirements import packages_to_run
from xception.tasks.preprocess_alternatives import alternative, alternatives
from xception.tasks.preprocess_parity import Parity, Swap
from xception.tasks.preprocess_parity import parity as run


def data_parity(
    model: ModelOption,
    data: Data,
    /,
    *,
    preprocess: str | None = None,
    unlabelled: Unlabelled = False,
    engine: EngineOptions = DEFAULT_ENGINE,
    no_verify: NoVerify = False,
    json: Json = False,
) -> None:
    r"""Measure the effect of another preprocessing on a model's logits and accuracy, on the same files.

    ```
    xception data parity runs/photos/bundle photos/val
    xception data parity runs/photos/bundle photos/val \
        --preprocess squash,no_antialias,crop_pct=0.875
    xception data parity runs/photos/bundle photos/val \
        --preprocess ppcls_xception41,vdsp_params.json
    ```

    Args:
        preprocess: Preprocessing in place of the model's own, or several separated by commas. Each is a name that the
            table shows without this option, crop_pct=FRACTION, published weights, a bundle, or a JSON file with a
            preprocessing or vdsp_params (default: all names).
    """
    check_order("data parity", model, data)
    require_all(*packages_to_run(model, engine.backend), *packages_for(data))
    opened = open_model(model, verify=not no_verify)
    own = opened.model.preprocess
    named = {text: alternative(text, own) for text in preprocess.split(",")} if preprocess else alternatives(own)
    source = image_files([data]) if unlabelled else open_source(data)
    with engine.open(opened, source) as runner, progress_bar() as progress:
        result = run(runner, Watched(source, progress, "comparing"), named)
    result = msgspec.structs.replace(result, provenance=result.provenance and made_here(result.provenance))
    if json:
        print_json(result)
    else:
        _print(result)
        propose(*_following(model, data, result, opened))


def _following(model: str, data: str, result: Parity, bundle: Bundle) -> Iterator[str]:
    """The commands that go on: a closer look at what changes most answers, and a graph that prepares images itself."""
    changes = [
        (-found.top1_agreement, found.mean_abs_diff, swap.name) for swap in result.swaps if (found := swap.agreement)
    ]
    if changes:
        verb = "predict" if result.unlabelled else "evaluate"
        yield command(verb, model, data, "--preprocess", max(changes)[2])
    if bundle.model.form == "weights":
        yield command("export", model, "--to", "onnx", "--image-input", "--out", f"{bundle.model.name}-onnx")


def _print(result: Parity) -> None:
    header = ("preprocessing", "images", "same top-1", "max diff", "mean diff", "relative", "top-1", "difference")
    own = ("the model's own", "", "", "", "", "", percent(result.swaps[0].own_top1), "")
    print_rows(header, (own, *map(_row, result.swaps)))
    if result.unlabelled:
        say(f"no accuracy: {result.unlabelled}")
    for sentence in _failures(result.swaps):
        say(sentence)


def _failures(swaps: Sequence[Swap]) -> Iterator[str]:
    """A sentence for each image that failed and each reason, with the preprocessings that it failed for."""
    names: dict[tuple[str, str], list[str]] = {}
    for swap in swaps:
        for failure in swap.failures:
            names.setdefault((failure.path, failure.reason), []).append(swap.name)
    for (path, reason), those in names.items():
        whose = "" if len(those) == len(swaps) else f" for {', '.join(those)}"
        yield f"failed{whose}: {path}: {reason}"


def _row(swap: Swap) -> tuple[str, ...]:
    found = swap.agreement
    measured = (found.max_abs_diff, found.mean_abs_diff, found.relative_diff) if found else ()
    figures = tuple(f"{value:.3g}" for value in measured) or ("-",) * 3
    seen = f"{swap.seen} of {swap.total}"
    return swap.name, seen, percent(swap.same_top1), *figures, percent(swap.top1), points(swap.difference)
