"""`xception demo`: the other verbs, one after the other, on real images."""

from pathlib import Path

from xception.cli.options import Overwrite
from xception.cli.output import percent, print_facts, say
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
    print_facts(_facts(run_demo(out, overwrite=overwrite, on_note=say)))


def _facts(result: DemoResult) -> dict[str, str]:
    heading = {"form": "size  top-1 on held-out digits  agreement  images/s"}
    rows = {form.name: _row(form) for form in result.forms}
    return {**heading, **rows, SPEED_WORDS: result.int8_speed.sentence(), "report": result.report}


def _row(form: FormResult) -> str:
    agreed = f"{form.agreement.relative_diff:.1e}" if form.agreement else "-"
    accuracy = percent(form.evaluation.top1)
    return f"{form.size_bytes:>9,} bytes  {accuracy}  {agreed:>7}  {form.images_per_second:>7,.0f}"
