"""`xception evaluate`"""

from pathlib import Path

from xception.backends.base import open_session
from xception.bundle import open_bundle
from xception.cli.output import Watched, percent, print_facts, print_json, progress_bar, say
from xception.data.sources import open_source
from xception.tasks.evaluate import Evaluation
from xception.tasks.evaluate import evaluate as run


def evaluate(
    bundle: Path,
    data: str,
    /,
    *,
    batch: int = 8,
    workers: int = 2,
    backend: str | None = None,
    verify: bool = False,
    json: bool = False,
) -> None:
    """Measure accuracy on labelled images; every image counts, as seen or as failed.

    ```
    xception evaluate runs/digits/bundle digits
    xception evaluate runs/photos/bundle photos/val --batch 32 --json
    ```

    Args:
        bundle: The bundle's folder.
        data: An image folder with one folder a class, or digits (their held-out test part).
        batch: Images in one inference; the result does not depend on it.
        workers: Threads that read and decode.
        backend: torch, onnxruntime or openvino; by default the one for the bundle's form.
        verify: Compare every byte of the bundle with its hashes first.
        json: Print one JSON document.
    """
    opened = open_bundle(bundle, verify=verify)
    source = open_source(data)
    session = open_session(opened, backend)
    with progress_bar() as progress:
        result = run(opened, session, Watched(source, progress, "evaluating"), batch_size=batch, workers=workers)
    session.close()
    if json:
        print_json(result)
        return
    _print(result)
    say(f"next: xception benchmark {bundle} {data}")


def _print(result: Evaluation) -> None:
    print_facts(
        {
            "images": f"{result.total} = {result.seen} seen + {result.failed} failed",
            "top-1": percent(result.top1),
            "top-5": percent(result.top5),
            "loss": "-" if result.loss is None else f"{result.loss:.4f}",
        }
    )
    for failure in result.failures:
        say(f"failed: {failure.path}: {failure.reason}")
