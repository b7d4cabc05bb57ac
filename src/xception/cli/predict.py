"""`xception predict`"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xception.cli.engine import DEFAULT_ANSWERS, AnswerOptions
from xception.cli.models import open_model
from xception.cli.options import (
    Csv,
    Json,
    KeepLogits,
    MaxFailed,
    ModelOption,
    NoVerify,
    Threshold,
    Top,
    VendorOption,
    check_at_least_one,
    check_failed,
)
from xception.cli.origin import made_here
from xception.cli.output import Screen, Watched, command, print_facts, say
from xception.cli.progress import progress_bar
from xception.data.files import is_image
from xception.data.images import open_images
from xception.data.inventory import inventory_of
from xception.data.source import Source
from xception.data.sources import packages_for
from xception.errors import UsageError
from xception.extras import is_installed, require_all
from xception.pipeline.engine import Engine, check_threshold
from xception.pipeline.requirements import packages_to_run
from xception.tasks.batch import predict_to_file
from xception.tasks.image_results import packages_for_table
from xception.tasks.sinks import Counted, write_csv, write_json, write_table
from xception.tasks.vendor_results import Written, write_results

if TYPE_CHECKING:
    from rich.progress import Progress


def predict(
    model: ModelOption,
    /,
    *sources: str,
    top: Top = 5,
    threshold: Threshold = None,
    engine: AnswerOptions = DEFAULT_ANSWERS,
    no_verify: NoVerify = False,
    json: Json = False,
    csv: Csv = False,
    max_failed: MaxFailed = None,
    vendor: VendorOption = None,
    out: Path | None = None,
    logits: KeepLogits = False,
) -> None:
    """Classify images, or describe them by embeddings; a file that cannot be read is reported in its place.

    ```
    xception predict keras_xception.imagenet photo.jpg
    xception predict hf-hub:timm/xception65.ra3_in1k photo.jpg
    xception predict runs/digits/bundle photo.jpg
    xception predict runs/photos/bundle photos/ more.png --top 3 --json
    xception predict runs/tags/bundle photos/ --threshold 0.5
    xception predict runs/photos/bundle shards/ --out predictions.parquet
    xception predict runs/photos/bundle photos/ --vendor ascend --out results
    ```

    With --out FILE, a run that was stopped is continued by the same command.

    Args:
        sources: Images, folders or zip archives of images, also as URLs; or one data set in any form.
        out: Folder of the result: with --vendor; else a file, .parquet, .jsonl or .csv.
    """
    table = None if vendor else out
    _check_order(model, sources)
    _check(sources, vendor, out, one_form=json + csv + bool(out), logits=logits)
    check_at_least_one(top=top)
    if threshold is not None and out:
        raise UsageError("--threshold is for the screen, --json and --csv; a file of results holds the scores instead")
    require_all(*packages_to_run(model, engine.backend), *packages_for(*sources), *packages_for_table(table))
    # Before the model, which may have to be fetched.
    source = open_images(sources)
    opened = open_model(model, verify=not no_verify)
    if threshold is not None:
        check_threshold(threshold, opened)
    network = opened.model.network
    csv_writer = partial(write_csv, features=0 if network.num_classes else network.num_outputs)
    json_writer = partial(write_json, inventory=inventory_of(source))
    write = json_writer if json else csv_writer if csv else partial(write_table, stream=Screen())
    tally = Counted()
    with engine.open(opened, source) as runner, progress_bar() as progress:
        watched = Watched(source, progress, "predicting")
        if is_installed("simplejpeg") and (json or table):
            runner = runner.with_lane(damage="noted")
        if vendor and out:
            written = write_results(vendor, out, runner, watched)
            tally = Counted(seen=written.seen, failed=len(written.failures))
        elif table:
            tally = _to_file(table, runner, source, progress, top=top, logits=logits)
        else:
            write(tally.counting(runner.predict(watched, top=top, threshold=threshold, max_wait_s=None)))
    if vendor and out:
        _report(out, written)
    check_failed(tally.seen, tally.failed, max_failed)


def _check_order(model: str, sources: tuple[str, ...]) -> None:
    """Refuse an image in the place of the model.

    Raises:
        UsageError: the first operand is an image.
    """
    if is_image(model) and Path(model).is_file():
        first, others = sources[:1] or ("keras_xception.imagenet",), sources[1:]
        raise UsageError(
            f"{model} is an image, and the model comes first: {command('predict', *first, model, *others)}"
        )


def _check(sources: tuple[str, ...], vendor: str | None, out: Path | None, *, one_form: int, logits: bool) -> None:
    """Refuse what cannot be meant, before any work is done.

    Raises:
        UsageError: no images, several forms of the result, or options without what they are for.
    """
    if not sources:
        raise UsageError(
            "no images were named; expected files or folders behind the model, as in "
            "xception predict keras_xception.imagenet photo.jpg"
        )
    if one_form > 1:
        raise UsageError("--json, --csv and --out exclude one another; choose one")
    if vendor and out is None:
        raise UsageError("--vendor needs a place for its files; pass --out FOLDER")
    if logits and (vendor or out is None):
        raise UsageError("--logits is for --out FILE; name that, and no --vendor")


def _to_file(out: Path, engine: Engine, source: Source, progress: "Progress", *, top: int, logits: bool) -> Counted:
    task = progress.add_task("predicting", total=len(source))
    summary = predict_to_file(
        engine,
        source,
        out,
        top=top,
        logits=logits,
        stamp=made_here,
        on_images=lambda count: progress.advance(task, count),
    )
    counts = f"{summary.total} = {summary.seen} seen + {summary.failed} failed"
    again = f", of which {summary.resumed} were there before" if summary.resumed else ""
    print_facts({"file": summary.file, "images": counts + again})
    return Counted(seen=summary.seen, failed=summary.failed)


def _report(out: Path, written: Written) -> None:
    total = written.seen + len(written.failures)
    print_facts({"folder": str(out), "images": f"{total} = {written.seen} seen + {len(written.failures)} failed"})
    for failure in written.failures:
        say(f"failed: {failure.key}: {failure.reason}")
