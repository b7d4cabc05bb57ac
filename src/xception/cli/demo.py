"""`xception demo`: the other verbs, one after the other, on real images."""

from pathlib import Path

from xception.cli.options import Overwrite
from xception.cli.origin import this_run
from xception.cli.output import percent, print_facts, print_rows, say
from xception.demo import SPEED_WORDS, DemoResult, FormResult, run_demo


def demo(*, out: Path = Path("demo"), overwrite: Overwrite = False) -> None:
    """Train mini-XCEPTION on real handwritten digits, judge, export, quantize and measure it, and write a report.

    ```
    xception demo
    xception demo --out /tmp/demo --overwrite
    ```

    Args:
        out: Folder of the result: `report.html`, `demo.json`, and below `bundles/` a bundle for each form.
    """
    _print(run_demo(out, overwrite=overwrite, on_note=say, run=this_run()))


def _print(result: DemoResult) -> None:
    print_rows(("form", "bytes", "top-1 on held-out digits", "agreement", "images/s"), map(_row, result.forms))
    print_facts({SPEED_WORDS: result.int8_speed.sentence(), "report": result.report})


def _row(form: FormResult) -> tuple[str, ...]:
    agreed = f"{form.agreement.relative_diff:.1e}" if form.agreement else "-"
    accuracy, speed = percent(form.evaluation.top1), f"{form.images_per_second:,.0f}"
    return form.name, f"{form.size_bytes:,}", accuracy, agreed, speed
