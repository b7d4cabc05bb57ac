"""`xception predict`"""

from pathlib import Path

from xception.backends.base import open_session
from xception.bundle import open_bundle
from xception.cli.output import Watched, progress_bar
from xception.data.folder import image_files
from xception.errors import UsageError
from xception.tasks.predict import predict as run
from xception.tasks.sinks import write_csv, write_json, write_table


def predict(
    bundle: Path,
    /,
    *sources: Path,
    top: int = 5,
    batch: int = 8,
    workers: int = 2,
    backend: str | None = None,
    json: bool = False,
    csv: bool = False,
) -> None:
    """Classify images; a file that cannot be read is reported in its place.

    ```
    xception predict runs/digits/bundle photo.jpg
    xception predict runs/photos/bundle photos/ more.png --top 3 --json
    ```

    Args:
        bundle: The bundle's folder.
        sources: Images, and folders of images.
        top: How many classes to name for each image.
        batch: Images in one inference; the result does not depend on it.
        workers: Threads that read and decode.
        backend: torch, onnxruntime or openvino; by default the one for the bundle's form.
        json: Print one JSON document.
        csv: Print one line an image and class.
    """
    if not sources:
        raise UsageError("no images were named; expected files or folders behind the bundle")
    if json and csv:
        raise UsageError("--json and --csv exclude each other; choose one")
    if top < 1 or batch < 1:
        raise UsageError("--top and --batch must be at least 1")
    opened = open_bundle(bundle)
    source = image_files(sources)
    session = open_session(opened, backend)
    write = write_json if json else write_csv if csv else write_table
    with progress_bar() as progress:
        watched = Watched(source, progress, "predicting")
        write(run(opened, session, watched, top=top, batch_size=batch, workers=workers))
    session.close()
