"""`xception predict`"""

from pathlib import Path

from xception.bundle import open_bundle
from xception.cli.engine import DEFAULT_ENGINE, Engine
from xception.cli.output import Watched, print_facts, progress_bar, say
from xception.data.folder import image_files
from xception.errors import UsageError
from xception.tasks.predict import predict as run
from xception.tasks.sinks import write_csv, write_json, write_table
from xception.tasks.vendor_results import Vendor, Written, write_results


def predict(
    bundle: Path,
    /,
    *sources: str,
    top: int = 5,
    engine: Engine = DEFAULT_ENGINE,
    json: bool = False,
    csv: bool = False,
    format: Vendor | None = None,  # noqa: A002 - the option's name
    out: Path | None = None,
) -> None:
    """Classify images; a file that cannot be read is reported in its place.

    ```
    xception predict runs/digits/bundle photo.jpg
    xception predict runs/photos/bundle photos/ more.png --top 3 --json
    xception predict runs/photos/bundle photos/ --format ascend --out results
    ```

    Args:
        bundle: The bundle's folder.
        sources: Images, and folders or zip archives of images; also as URLs.
        top: How many classes to name for each image.
        json: Print one JSON document.
        csv: Print one line an image and class.
        format: Write logits as a vendor's scorer reads them: ascend, mindspore or vastai.
        out: Folder for these files.
    """
    if not sources:
        raise UsageError("no images were named; expected files or folders behind the bundle")
    if json + csv + bool(format) > 1:
        raise UsageError("--json, --csv and --format exclude one another; choose one")
    if (format is None) != (out is None):
        raise UsageError("--format and --out belong together; pass both")
    if top < 1:
        raise UsageError(f"--top {top} makes no sense; expected at least 1")
    opened = open_bundle(bundle)
    source = image_files(sources)
    write = write_json if json else write_csv if csv else write_table
    # What a vendor's scorer is given is to be judged, as in `xception evaluate`.
    with (
        engine.opened(opened, source, pixels="reference" if format else "exact") as running,
        progress_bar() as progress,
    ):
        watched = Watched(source, progress, "predicting")
        if format and out:
            written = write_results(format, out, opened, running.session, watched, **running.feed)
        else:
            write(run(opened, running.session, watched, top=top, **running.feed))
    if format and out:
        _report(out, written)


def _report(out: Path, written: Written) -> None:
    total = written.seen + len(written.failures)
    print_facts({"folder": str(out), "images": f"{total} = {written.seen} seen + {len(written.failures)} failed"})
    for failure in written.failures:
        say(f"failed: {failure.key}: {failure.reason}")
