"""`xception quantize`"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import Parameter

from xception.backends.base import BACKENDS
from xception.bundle import Bundle
from xception.cli.engine import DEFAULT_ENGINE, EngineOptions
from xception.cli.models import open_model
from xception.cli.options import Html, Json, ModelOption, NoVerify, Out, Overwrite, page_packages
from xception.cli.origin import this_run
from xception.cli.output import command, percent, points, print_facts, print_json, print_rows, propose
from xception.data.files import is_image
from xception.data.folder import image_files
from xception.data.source import Source
from xception.data.sources import open_source, open_undivided, packages_for
from xception.data.splits import Split
from xception.errors import UsageError
from xception.export.program import GraphOptions
from xception.extras import require_all
from xception.forms import FORMS, Form, quantizable
from xception.outputs import json_document, write_file
from xception.pipeline.requirements import packages_to_run
from xception.quantize.calibration import CALIBRATION_IMAGES
from xception.quantize.gate import TOLERANCE
from xception.quantize.ladder import Method
from xception.quantize.processor import WeightBits
from xception.quantize.qdq import TensorScale, scales_csv
from xception.quantize.quantize import Tuning, quantize_bundle
from xception.quantize.record import GateFailed, Quantization, Trial

TO_HELP = f"Target: {', '.join(f'{form} ({FORMS[form].title})' for form in quantizable())}."

Job = Callable[[], tuple[Bundle, Quantization]]
Page = Callable[[Quantization], str]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """Options that rarely need changing."""

    signed: Annotated[
        bool,
        Parameter(help="Use signed activations with the zero point 0, and biases in float, as TensorRT demands."),
    ] = False
    integer_ports: Annotated[
        bool, Parameter(help="Take images and give logits as integers, for processors that know nothing else.")
    ] = False
    weight_bits: Annotated[
        WeightBits,
        Parameter(
            help="Bits of a weight. 7 give the same result on all processors, 8 only with VNNI, AMX or dot products."
        ),
    ] = 7
    strict: Annotated[
        bool, Parameter(help="Accept only a model that is shown, with 95 % confidence, to be within the tolerance.")
    ] = False
    no_speed: Annotated[bool, Parameter(help="Do not measure the speed next to that of the float graph.")] = False
    sensitivity: Annotated[bool, Parameter(help="Measure the cost of each layer by itself.")] = False

    def tuning(self) -> Tuning:
        """The same for `quantize_bundle`."""
        return Tuning(
            is_signed=self.signed,
            has_integer_ports=self.integer_ports,
            weight_bits=self.weight_bits,
            is_strict=self.strict,
            with_speed=not self.no_speed,
            with_sensitivity=self.sensitivity,
        )


PLAIN, PLAIN_TUNING = GraphOptions(), TuningOptions()


def quantize(
    model: ModelOption,
    /,
    *,
    calibration: str,
    out: Out,
    validation: str | None = None,
    method: Method | Literal["auto"] = "auto",
    to: Annotated[str, Parameter(help=TO_HELP)] = "onnx",
    calibration_images: int = CALIBRATION_IMAGES,
    tolerance: float = TOLERANCE,
    options: Annotated[GraphOptions, Parameter(name="*")] = PLAIN,
    tuning: TuningOptions = PLAIN_TUNING,
    scales: Path | None = None,
    html: Html = None,
    keep_failed: bool = False,
    no_verify: NoVerify = False,
    overwrite: Overwrite = False,
    json: Json = False,
    runtime: EngineOptions = DEFAULT_ENGINE,
) -> None:
    r"""Make an int8 model of weights or of an ONNX graph; one that loses accuracy is refused with exit code 1.

    ```
    xception quantize runs/digits/bundle --calibration digits --out digits-int8
    xception quantize runs/digits/bundle --calibration digits --to litert \
        --integer-ports --out digits-int8-litert
    xception quantize model-onnx --calibration photos/train \
        --validation photos/val --to openvino --out model-int8
    ```

    Args:
        calibration: Images to calibrate int8 on, which show the ranges of activations. digits stands for its training
            part.
        validation: Images that judge the result, with or without labels (default: the validation part of digits, else
            the images that calibration did not use).
        method: Method of quantization. auto tries them from the cheapest to the strongest, until one passes the gate.
        calibration_images: Number of images of --calibration to use, balanced over the classes.
        tolerance: Largest loss of top-1 accuracy that passes the gate, as a fraction.
        scales: File for the table of all scales and zero points, .csv or .json.
        keep_failed: If none passes the gate, write the model that came closest, marked as failed.
    """
    _check(scales, runtime)
    require_all(
        *packages_to_run(model, runtime.backend),
        *_packages(to),
        *packages_for(calibration, validation),
        *page_packages(html),
    )
    source, held_out = _images(calibration, validation)
    parent = open_model(model, verify=not no_verify)
    job = partial(quantize_bundle, parent, source, out, validation=held_out, method=method, to=cast(Form, to))
    job = partial(job, images=calibration_images, tolerance=tolerance, options=options, tuning=tuning.tuning())
    job = partial(job, open_engine=runtime.open, keep_failed=keep_failed, overwrite=overwrite)
    _report(job, partial(_page, parent, held_out or source), scales, html, as_json=json)
    propose(command("benchmark", out, "--against", model))


def _images(calibration: str, validation: str | None) -> tuple[Source, Source | None]:
    """The data to calibrate on and, where there are any, those that judge. Data that are named for one purpose serve it
    whole, unless they are divided already."""
    judged_on = "digits:validation" if validation is None and calibration == "digits" else validation
    if judged_on is None:
        return _open(calibration, open_source), None
    return _open(calibration, open_undivided), _open(judged_on, open_source, "test")


def _packages(to: str) -> tuple[str, ...]:
    """All that every method needs to write and try a form."""
    runtimes = FORMS[to].backends[:1] if to in quantizable() else ()
    return ("onnx", "onnxruntime", *(BACKENDS[name].imported_as for name in runtimes))


def _check(scales: Path | None, runtime: EngineOptions) -> None:
    """Refuse before the work what cannot be done behind it."""
    runtime.check()
    if scales and scales.suffix not in (".csv", ".json"):
        raise UsageError(f"--scales {scales} ends in {scales.suffix!r}; expected .csv or .json")


def _report(job: Job, page: Page, scales: Path | None, html: Path | None, *, as_json: bool) -> None:
    """Run, and tell what came of it whether the gate held or not."""
    failure: GateFailed | None = None
    try:
        _, result = job()
    except GateFailed as error:
        failure, result = error, error.quantization
    if scales:
        write_file(scales, _table(result.scales, scales.suffix))
    if html:
        write_file(html, page(result).encode())
    print_json(result) if as_json else _print(result)
    if failure:
        raise failure


def _open(data: str, opener: Callable[[str, Split], Source], split: Split = "train") -> Source:
    """A data set as every verb takes it, or a folder that holds nothing but images, which then have no labels."""
    folder = Path(data)
    if folder.is_dir() and all(is_image(entry.name) for entry in folder.iterdir()):
        return image_files([folder])
    return opener(data, split)


def _table(scales: tuple[TensorScale, ...], suffix: str) -> bytes:
    if suffix == ".csv":
        return scales_csv(scales).encode()
    return json_document(scales)


def _page(parent: Bundle, held_out: Source, result: Quantization) -> str:
    from xception.report.pictures import thumbnails
    from xception.report.quantization import render_quantization

    pictures = thumbnails(held_out, (flip.path for flip in result.flips), parent.model.preprocess)
    return render_quantization(result, parent, pictures, this_run())


def _print(result: Quantization) -> None:
    print_rows(("method", "top-1", "difference", "agreement", "seconds", "gate"), map(_row, result.trials), prose=True)
    if result.passed and result.bundle:
        speed = {"speed": result.speed.sentence()} if result.speed else {}
        print_facts({"bundle": result.bundle, "gate": f"passed, {result.sentence()}", **speed})


def _row(trial: Trial) -> tuple[str, ...]:
    verdict, seconds = trial.verdict, f"{trial.seconds:.1f}"
    if verdict is None:
        return trial.method, "-", "-", "-", seconds, f"not tried: {trial.error}"
    agreement, gate = f"{verdict.top1_agreement:.2%}", "passed" if verdict.passed else "failed"
    return trial.method, percent(verdict.candidate.top1), points(verdict.difference), agreement, seconds, gate
