"""`xception predict`"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xception.bundle import Bundle
from xception.cli.engine import DEFAULT_ANSWERS, AnswerOptions, noting_damage
from xception.cli.models import check_order, images_in_place_of_model, open_model
from xception.cli.options import (
    Csv,
    Json,
    KeepLogits,
    MaxFailed,
    NoVerify,
    OptionalModel,
    Threshold,
    Top,
    VendorOption,
    check_at_least_one,
    check_failed,
)
from xception.cli.origin import COMMAND, made_here
from xception.cli.output import Screen, Watched, command, print_facts, propose, say
from xception.cli.predict_shards import (
    NO_SHARDS,
    ShardedWork,
    ShardOptions,
    finish_shards,
    is_folder_of_shards,
    predict_into_shards,
)
from xception.cli.progress import progress_bar
from xception.cli.suggestions import EXAMPLE_WEIGHTS
from xception.data.files import is_image
from xception.data.images import open_images
from xception.data.inventory import inventory_of
from xception.data.source import Source
from xception.data.sources import packages_for
from xception.errors import UsageError
from xception.extras import require_all
from xception.pipeline.engine import Engine
from xception.pipeline.prediction import check_threshold
from xception.pipeline.requirements import packages_to_run
from xception.tasks.batch import predict_to_file, refuse_existing
from xception.tasks.image_results import packages_for_table
from xception.tasks.plan import BatchManifest
from xception.tasks.sinks import Counted, Outcomes, write_csv, write_json, write_table
from xception.tasks.vendor_results import Written, write_results

if TYPE_CHECKING:
    from rich.progress import Progress


def predict(
    model: OptionalModel = None,
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
    out: str | None = None,
    logits: KeepLogits = False,
    shards: ShardOptions = NO_SHARDS,
) -> None:
    """Classify images, or describe them by embeddings; a file that cannot be read is reported in its place.

    ```
    xception predict keras_xception.imagenet photo.jpg
    xception predict hf-hub:timm/xception65.ra3_in1k photo.jpg --top 3
    xception predict runs/tags/bundle photos/ --threshold 0.5
    xception predict runs/photos/bundle shards/ --out predictions.parquet
    xception predict runs/photos/bundle shards/ --out predictions --workers 2
    xception predict runs/photos/bundle photos/ --vendor ascend --out results
    ```

    With --out, a run that was stopped is continued by the same command. If --out is a folder, here or in object
    storage, the answers are written in shards, and several processes or computers may share the work.

    Args:
        sources: Images, folders of images or zip archives of them, also as URLs; or one data set in any form.
        out: Folder of the result, or its URL. Without --vendor also a .parquet, .jsonl, .jsonl.gz or .csv file.
    """
    shards.check(out, is_vendor=vendor is not None)
    if shards.finish and out and not model:
        _check_shards(finish_shards(out), max_failed)
        return
    model = _named(model, sources)
    _check(vendor, out, one_form=json + csv + bool(out), logits=logits, top=top, threshold=threshold)
    folder, table = (None, None) if vendor else _places(out)
    _require(model, engine, sources, table, shards, folder)
    asked: dict[str, Any] = {"top": top, "threshold": threshold, "logits": logits}
    source, opened = open_images(sources), _opened(model, threshold, verify=not no_verify)
    if folder:
        work = ShardedWork(bundle=str(opened.path), verify=opened.verify, sources=sources, engine=engine)
        _check_shards(predict_into_shards(opened, source, work, folder, shards, **asked), max_failed)
        return
    write, tally = _writer(opened, source, json=json, csv=csv), Counted()
    with engine.open(opened, source) as runner, progress_bar() as progress:
        runner = noting_damage(runner) if json or table else runner
        watched = Watched(source, progress, "predicting")
        if vendor and out:
            tally = _report(Path(out), write_results(vendor, Path(out), runner, watched))
        elif table:
            tally = _to_file(table, runner, source, progress, **asked)
        else:
            write(tally.counting(runner.predict(watched, top=top, threshold=threshold, max_wait_s=None)))
    check_failed(tally.seen, tally.failed, max_failed)
    propose(*(() if json or csv or out else _into_file(model, sources, opened)))


def _opened(model: str, threshold: float | None, *, verify: bool) -> Bundle:
    """The model, whose answers have the probabilities that a threshold is of."""
    opened = open_model(model, verify=verify)
    if threshold is not None:
        check_threshold(threshold, opened)
    return opened


def _named(model: str | None, sources: tuple[str, ...]) -> str:
    """The model; an image in its place is refused.

    Raises:
        UsageError: there is none, the first operand is an image, or no images are named.
    """
    if model is None:
        raise UsageError("no model was named; expected a model, and images after it")
    if is_image(model) and Path(model).is_file():
        first, others = sources[:1] or (EXAMPLE_WEIGHTS,), sources[1:]
        raise UsageError(
            f"{model} is an image, and the model comes first: {command('predict', *first, model, *others)}"
        )
    check_order("predict", model, *sources)
    if not sources:
        if images := images_in_place_of_model(model):
            example = command("predict", EXAMPLE_WEIGHTS, model)
            raise UsageError(f"{images.partition(';')[0]}, and the model comes first: {example}")
        example = command("predict", model, "photo.jpg")
        raise UsageError(f"no images were named; expected files or folders after the model: {example}")
    return model


def _places(out: str | None) -> tuple[str | None, Path | None]:
    """The folder of shards and the file that the answers are written to; one of them at most.

    Raises:
        InputError: the file is there, which nobody should learn after the model was loaded.
    """
    if out is None or is_folder_of_shards(out):
        return out, None
    refuse_existing(Path(out))
    return None, Path(out)


def _into_file(model: str, sources: tuple[str, ...], opened: Bundle) -> Iterator[str]:
    """The command that writes such answers to a file: of the same folder, or of a folder of photographs."""
    options = [word for word in COMMAND.get()[1:] if word not in (model, *sources)]
    place = sources[0] if len(sources) == 1 and not is_image(sources[0]) else "photos"
    file = "labels.csv" if opened.model.network.num_classes else "embeddings.csv"
    yield command("predict", model, place, *options, "--out", file)


def _require(
    model: str,
    engine: AnswerOptions,
    sources: tuple[str, ...],
    table: Path | None,
    shards: ShardOptions,
    folder: str | None,
) -> None:
    """Ask at once for all packages that are needed to write a table, or shards to a folder."""
    require_all(
        *packages_to_run(model, engine.backend),
        *packages_for(*sources, folder),
        *(shards.packages if folder else packages_for_table(table)),
    )


def _check_shards(manifest: BatchManifest | None, max_failed: int | None) -> None:
    """Judge the shards of a whole run, which those of a share are not."""
    if manifest:
        check_failed(manifest.seen, manifest.failed, max_failed)


def _writer(bundle: Bundle, source: Source, *, json: bool, csv: bool) -> Callable[[Outcomes], None]:
    """The writer of answers to the standard output, in the form that was asked for."""
    network = bundle.model.network
    if json:
        return partial(write_json, inventory=inventory_of(source))
    return (
        partial(write_csv, features=0 if network.num_classes else network.num_outputs)
        if csv
        else partial(write_table, stream=Screen())
    )


def _check(
    vendor: str | None,
    out: str | None,
    *,
    one_form: int,
    logits: bool,
    top: int,
    threshold: float | None,
) -> None:
    """Refuse what cannot be meant, before any work is done.

    Raises:
        UsageError: several forms of the result, or options without what they are for.
    """
    check_at_least_one(top=top)
    if one_form > 1:
        raise UsageError("--json, --csv and --out exclude one another; choose one")
    if vendor and out is None:
        raise UsageError("--vendor needs a place for its files; pass --out FOLDER")
    if threshold is not None and vendor:
        raise UsageError("--threshold does not apply to --vendor, whose files hold all classes; leave one of them out")
    if logits and (vendor or out is None):
        raise UsageError("--logits needs --out, and no --vendor; pass --out FILE")


def _to_file(out: Path, engine: Engine, source: Source, progress: "Progress", **asked: Any) -> Counted:
    task = progress.add_task("predicting", total=len(source))
    summary = predict_to_file(
        engine,
        source,
        out,
        **asked,
        stamp=made_here,
        on_images=lambda count: progress.advance(task, count),
    )
    counts = f"{summary.total} = {summary.seen} seen + {summary.failed} failed"
    again = f", of which {summary.resumed} were there before" if summary.resumed else ""
    print_facts({"file": summary.file, "images": counts + again})
    return Counted(seen=summary.seen, failed=summary.failed)


def _report(out: Path, written: Written) -> Counted:
    total = written.seen + len(written.failures)
    print_facts({"folder": str(out), "images": f"{total} = {written.seen} seen + {len(written.failures)} failed"})
    for failure in written.failures:
        say(f"failed: {failure.key}: {failure.reason}")
    return Counted(seen=written.seen, failed=len(written.failures))
