"""The lines in which the Ascend benchmark tool tells how fast a model ran, as `perf_vision_batchsize_B_device_D.txt`.

The tool counts batches in its last line and images in all others. Here every line counts images.
"""

from dataclasses import dataclass

QUIRK = (
    "[post] counts images per second, as every line here does; the Ascend tool itself counts batches there, a figure "
    "smaller by the batch size. Its parse.py multiplies the Interface rate by 4, the chips of one Ascend 310 card"
)


@dataclass(frozen=True, kw_only=True)
class AscendSpeed:
    """Images per second at one batch size, and the images of one run."""

    batch: int
    images: int
    end_to_end: float
    read: float
    preprocess: float
    infer: float
    calls: float
    """Images per second of the runtime's calls only."""
    postprocess: float


def speed_file(batch: int, device: int = 0) -> str:
    """The name by which the tool's scripts find the file."""
    return f"perf_vision_batchsize_{batch}_device_{device}.txt"


def speed_lines(speed: AscendSpeed) -> str:
    """The file's content: rates in images per second; milliseconds of the whole run, and per image elsewhere."""
    calls = f", Interface throughputRate: {speed.calls:.6g}"
    return (
        f"[e2e] throughputRate: {speed.end_to_end:.6g}, latency: {1000 * speed.images / speed.end_to_end:.6g}\n"
        + _module("data read", speed.read)
        + _module("preprocess", speed.preprocess)
        + _module("infer", speed.infer, calls)
        + _module("post", speed.postprocess)
    )


def _module(name: str, rate: float, further: str = "") -> str:
    return f"[{name}] throughputRate: {rate:.6g}{further}, moduleLatency: {1000 / rate:.6g}\n"
