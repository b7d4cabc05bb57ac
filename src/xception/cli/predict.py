"""`xception predict`"""

from functools import partial
from pathlib import Path

from xception.cli.engine import DEFAULT_ANSWERS, AnswerOptions
from xception.cli.models import open_model
from xception.cli.options import (
    Csv,
    Json,
    MaxFailed,
    ModelOption,
    NoVerify,
    Top,
    VendorOption,
    check_at_least_one,
    check_failed,
)
from xception.cli.output import Watched, print_facts, progress_bar, say
from xception.data.folder import image_files
from xception.data.remote import packages_for_files
from xception.errors import UsageError
from xception.extras import require_all
from xception.pipeline.requirements import packages_to_run
from xception.tasks.sinks import Counted, write_csv, write_json, write_table
from xception.tasks.vendor_results import Written, write_results


def predict(
    model: ModelOption,
    /,
    *sources: str,
    top: Top = 5,
    engine: AnswerOptions = DEFAULT_ANSWERS,
    no_verify: NoVerify = False,
    json: Json = False,
    csv: Csv = False,
    max_failed: MaxFailed = None,
    vendor: VendorOption = None,
    out: Path | None = None,
) -> None:
    """Classify images, or describe them by embeddings; a file that cannot be read is reported in its place.

    ```
    xception predict keras_xception.imagenet photo.jpg
    xception predict hf-hub:timm/xception65.ra3_in1k photo.jpg
    xception predict runs/digits/bundle photo.jpg
    xception predict runs/photos/bundle photos/ more.png --top 3 --json
    xception predict runs/photos/bundle photos/ --vendor ascend --out results
    ```

    Args:
        sources: Images, and folders or zip archives of images; also as URLs.
        out: Folder of the result: with --vendor.
    """
    if not sources:
        raise UsageError(
            "no images were named; expected files or folders behind the model, as in "
            "xception predict keras_xception.imagenet photo.jpg"
        )
    if json + csv + bool(vendor) > 1:
        raise UsageError("--json, --csv and --vendor exclude one another; choose one")
    if (vendor is None) != (out is None):
        raise UsageError("--vendor and --out belong together; pass both")
    check_at_least_one(top=top)
    require_all(*packages_to_run(model, engine.backend), *packages_for_files(*sources))
    # Before the model, which may have to be fetched.
    source = image_files(sources)
    opened = open_model(model, verify=not no_verify)
    network = opened.model.network
    csv_writer = partial(write_csv, features=0 if network.num_classes else network.num_outputs)
    write = write_json if json else csv_writer if csv else write_table
    tally = Counted()
    with engine.open(opened, source) as runner, progress_bar() as progress:
        watched = Watched(source, progress, "predicting")
        if vendor and out:
            written = write_results(vendor, out, runner, watched)
            tally = Counted(seen=written.seen, failed=len(written.failures))
        else:
            write(tally.counting(runner.predict(watched, top=top, max_wait_s=None)))
    if vendor and out:
        _report(out, written)
    check_failed(tally.seen, tally.failed, max_failed)


def _report(out: Path, written: Written) -> None:
    total = written.seen + len(written.failures)
    print_facts({"folder": str(out), "images": f"{total} = {written.seen} seen + {len(written.failures)} failed"})
    for failure in written.failures:
        say(f"failed: {failure.key}: {failure.reason}")
