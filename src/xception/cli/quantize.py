"""`xception quantize`"""

from pathlib import Path
from typing import Literal

from xception.bundle import open_bundle
from xception.cli.output import print_facts, print_json, say
from xception.data.sources import open_source
from xception.quantize.gate import TOLERANCE
from xception.quantize.static import CALIBRATION_IMAGES, quantize_bundle


def quantize(
    bundle: Path,
    /,
    *,
    calibration: str,
    out: Path,
    validation: str | None = None,
    method: Literal["auto", "max", "percentile", "entropy"] = "auto",
    images: int = CALIBRATION_IMAGES,
    tolerance: float = TOLERANCE,
    keep_failed: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Make an int8 model of an ONNX bundle; one that loses accuracy is refused with exit code 1.

    ```
    xception quantize digits-onnx --calibration digits --out digits-int8
    xception quantize model-onnx --calibration photos/train --validation photos/val --out model-int8
    ```

    Args:
        bundle: The float32 ONNX bundle.
        calibration: Images to find the ranges of activations on; digits are their training part.
        out: Folder of the int8 bundle.
        validation: Labelled images that judge the result; by default the calibration data's own validation
            part (digits), or what calibration leaves of its images.
        method: How a range is chosen; auto climbs from max over percentile to entropy until the gate holds.
        images: How many images to calibrate on, balanced over the classes.
        tolerance: Largest loss of top-1 accuracy, as a fraction.
        keep_failed: Write a model that failed all the same, marked as failed.
        overwrite: Replace a bundle that lies at --out.
        json: Print one JSON document.
    """
    if validation is None and calibration == "digits":
        validation = "digits:validation"
    written, result = quantize_bundle(
        open_bundle(bundle),
        open_source(calibration, "train"),
        out,
        validation=open_source(validation, "validation") if validation else None,
        method=method,
        images=images,
        tolerance=tolerance,
        keep_failed=keep_failed,
        overwrite=overwrite,
    )
    if json:
        print_json(result)
        return
    verdict = result.verdicts[-1]
    facts = {
        "bundle": str(written.path),
        "size": f"{written.size_bytes:,} bytes",
        "gate": f"passed, {verdict.sentence()}",
    }
    print_facts(facts)
    say(f"next: xception evaluate {out} {calibration}")
