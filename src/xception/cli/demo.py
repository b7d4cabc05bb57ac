"""`xception demo`: the other verbs, one after the other, on real images."""

from collections.abc import Iterator
from pathlib import Path

from xception.cli.options import Overwrite
from xception.cli.origin import this_run
from xception.cli.output import command, percent, print_facts, print_rows, propose, say
from xception.demo import EXAMPLE_IMAGES, SPEED_WORDS, DemoResult, FormResult, run_demo


def demo(*, out: Path = Path("demo"), overwrite: Overwrite = False) -> None:
    """Train mini-XCEPTION on real handwritten digits, judge, export, quantize and measure it, and write a report.

    ```
    xception demo
    xception demo --out /tmp/demo --overwrite
    ```

    Args:
        out: Folder of the result: `report.html`, `demo.json`, some images, and below `bundles/` a bundle for each form.
    """
    _print(run_demo(out, overwrite=overwrite, on_note=say, run=this_run()), out)


def _print(result: DemoResult, out: Path) -> None:
    print_rows(("form", "bytes", "top-1 on held-out digits", "agreement", "images/s"), map(_row, result.forms))
    print_facts({SPEED_WORDS: result.int8_speed.sentence(), "report": result.report})
    say(f"open {result.report} in a browser: it is one file, and needs no network")
    propose(*_following(out))


def _following(out: Path) -> Iterator[str]:
    """Three commands to go on with: a label, two models compared, and a training of one's own."""
    bundles = out / "bundles"
    yield command("predict", bundles / "onnx-int8", out / EXAMPLE_IMAGES)
    pages = ("--html", out / "compare.html")
    yield command("compare", bundles / "onnx", bundles / "onnx-int8", "digits:test", *pages)
    yield command("train", "digits", "--set", "epochs=2", "--out", out / "run", "--resume")


def _row(form: FormResult) -> tuple[str, ...]:
    agreed = f"{form.agreement.relative_diff:.1e}" if form.agreement else "-"
    accuracy, speed = percent(form.evaluation.top1), f"{form.images_per_second:,.0f}"
    return form.name, f"{form.size_bytes:,}", accuracy, agreed, speed
