"""`xception benchmark`"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from xception.backends.base import open_session
from xception.bundle import open_bundle
from xception.cli.output import print_json, print_rows, say
from xception.data.sources import open_source
from xception.tasks.benchmark import Benchmark, Rate, noise_source
from xception.tasks.benchmark import benchmark as run


def numbers(_: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    """Whole numbers from `1,4,8`."""
    return tuple(int(part) for token in tokens for part in token.value.split(","))


def benchmark(
    bundle: Path,
    data: str | None = None,
    /,
    *,
    batch: Annotated[tuple[int, ...], Parameter(converter=numbers, n_tokens=1)] = (1, 8),
    images: int = 64,
    workers: int = 2,
    backend: str | None = None,
    json: bool = False,
) -> None:
    """Measure how fast a bundle runs here: every stage alone, and all of them overlapping.

    ```
    xception benchmark digits-onnx digits --batch 1,4,8
    xception benchmark digits-openvino --images 256 --json
    ```

    Args:
        bundle: The bundle's folder.
        data: A data set in any form, such as class folders, shards or a URL; without it, JPEG files of noise.
        batch: Batch sizes, separated by commas.
        images: How many images each round processes.
        workers: Threads that read and decode.
        backend: torch, onnxruntime or openvino; by default the one for the bundle's form.
        json: Print one JSON document.
    """
    opened = open_bundle(bundle)
    source = open_source(data) if data else noise_source(opened.model.preprocess)
    session = open_session(opened, backend)
    result = run(opened, session, source, batches=batch, images=images, workers=workers)
    session.close()
    if json:
        print_json(result)
        return
    _print(result)
    if result.skipped:
        say(f"{result.skipped} images could not be read and are in no figure")


def _print(result: Benchmark) -> None:
    stages = list(result.runs[0].stages)
    header = ("batch", "backend", *stages, "end to end", "bound", "efficiency", "bottleneck")
    print_rows(
        header,
        [
            (
                str(run.batch),
                run.backend,
                *(_rate(run.stages[stage]) for stage in stages),
                _rate(run.end_to_end),
                f"{run.bound_images_per_second:,.0f}",
                f"{run.efficiency:.2f}",
                run.bottleneck,
            )
            for run in result.runs
        ],
    )
    say("images/s: median [slowest, fastest round]; " + ", ".join(f"{k} {v}" for k, v in result.environment.items()))


def _rate(rate: Rate) -> str:
    return f"{rate.images_per_second:,.0f} [{rate.low:,.0f}, {rate.high:,.0f}]"
