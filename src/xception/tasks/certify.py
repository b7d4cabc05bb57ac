"""Proof of a conversion: the source's framework and this package give equal logits for the same images.

The framework runs in an interpreter of its own, which the user names, since the sources' requirements contradict each
other. What runs there is the script `xception.upstream.logits`, which loads the file as the source itself does.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from glob import escape
from pathlib import Path

import msgspec
import numpy as np

from xception import inputs
from xception.arch.spec import Architecture
from xception.backends.base import Logits, Pixels, open_session, run_in_batches
from xception.bundle import Bundle, Certificate
from xception.convert.conversion import Conversion
from xception.errors import CheckFailed, UsageError
from xception.tasks.agreement import PROBE_BATCH_SIZE, agreement_of, probe_pixels
from xception.upstream import logits as script
from xception.upstream.interpreter import run_script
from xception.waits import counted

RELATIVE_TOLERANCE = 1e-5
"""Largest logit difference over the largest logit. Frameworks differ by less than 1e-6 in float32, and the smallest
mistake that one variant taken for another makes is 5e-3."""

SAMPLES = 4
"""Images of each size."""

FIXED_SIZES_PX = {"mindspore_xception": (299, 320)}
"""Networks that take few sizes: MindSpore's own averages exactly 10x10 positions."""

EMBEDDERS = ("timm", "keras")
"""Sources whose networks are built without a classifier."""

PIXELS, LOGITS = "pixels.npz", "logits.npz"


def certify_conversion(conversion: Conversion, *, python: str | None, code: Path | None = None) -> Conversion:
    """The same conversion with a certificate.

    Args:
        conversion: the result of `convert_checkpoint`.
        python: the interpreter of an environment that has the source's framework.
        code: a checkout of the source's repository, where the network is in no package.

    Raises:
        UsageError: the source's framework cannot be run on this conversion, or an argument is missing for it.
        EnvironmentFault: the interpreter or the framework in it does not work.
        CheckFailed: the logits differ.
    """
    command = [_interpreter(conversion, python, code), script.__file__, *_options(conversion, code)]
    trial = conversion.unwritten()
    with tempfile.TemporaryDirectory() as folder:
        sizes = sizes_px(trial.model.network.architecture(), trial.model.preprocess.output_px)
        pixels = {str(px): probe_pixels(trial, SAMPLES, (px, px)) for px in sizes}
        with counted("running the source's own framework"):
            versions, theirs = _upstream_logits(command, pixels, Path(folder))
        # A file may hold a network of one size.
        sizes = tuple(px for px in sizes if str(px) in theirs)
        ours = _our_logits(trial, {str(px): pixels[str(px)] for px in sizes})
    if not sizes:
        raise UsageError(
            f"the network in {conversion.file} takes images of a size that no certificate is measured at; expected "
            f"a square of any size, or of {' or '.join(pixels)} px"
        )
    measured = agreement_of(_flat(ours), _flat({name: theirs[name] for name in ours}))
    if not measured.relative_diff <= RELATIVE_TOLERANCE:
        raise CheckFailed(
            f"{conversion.file} as {trial.model.network.variant} differs from {' '.join(next(iter(versions.items())))} "
            f"by {measured.relative_diff:.1e} of the largest logit, more than {RELATIVE_TOLERANCE:.0e}; "
            "nothing was written; check if another variant fits the file"
        )
    certificate = Certificate(source=conversion.match.source, versions=versions, sizes_px=sizes, agreement=measured)
    return replace(conversion, model=msgspec.structs.replace(conversion.model, certificate=certificate))


def sizes_px(architecture: Architecture, own_px: tuple[int, int] | None = None) -> tuple[int, ...]:
    """Image sizes to compare at: odd and even ones, since several faults show at only one of the two, and the model's
    own where it is a square."""
    px = architecture.input_px
    own = own_px[:1] if own_px and own_px[0] == own_px[1] else ()
    return FIXED_SIZES_PX.get(architecture.name, tuple(dict.fromkeys((px // 2 + 1, px - px // 4, px, *own))))


def _interpreter(conversion: Conversion, python: str | None, code: Path | None) -> str:
    match, network = conversion.match, conversion.model.network
    if match.source not in script.RUNNERS:
        raise UsageError(f"no framework that is run here has the networks of {match.source}; convert without --certify")
    is_own_head = network.num_classes in (match.num_classes or 0, match.group.stated.num_classes)
    is_started = "new_head" in conversion.model.lineage[-1].settings
    if network.variant != match.spec.name or not is_own_head or is_started:
        raise UsageError(
            f"{conversion.file} is converted to something else than the {match.spec.name} that is in it, "
            "which no framework can confirm; convert without --certify"
        )
    if not network.num_classes and match.source not in EMBEDDERS:
        raise UsageError(
            f"the networks of {match.source} have no way to leave their classifier out; convert without --certify"
        )
    if code is None and {match.source, network.variant} & set(script.NEEDS_CODE):
        raise UsageError(
            f"the network {network.variant} is in no package; pass a checkout of its repository as --upstream-code"
        )
    if python is None:
        raise UsageError(
            f"a certificate needs the framework of {match.source}; pass an interpreter that has it as --upstream-python"
        )
    return python


def _options(conversion: Conversion, code: Path | None) -> list[str]:
    match, step, network = conversion.match, conversion.model.lineage[-1].settings, conversion.model.network
    options: dict[str, object] = {
        "source": match.source,
        "variant": match.spec.name,
        "container": step["container"],
        "group": match.group.key,
        "prefix": match.group.prefix,
        "num-classes": network.num_classes,
        "in-channels": match.spec.in_channels,
        "file": conversion.file.resolve(),
    }
    stated = match.group.stated
    if stated.output:
        paths = {"output": stated.output.split("/"), "activated-by": stated.activated_by}
        options |= {name: json.dumps(path) for name, path in paths.items()}
    if stated.normalization:
        options["factor"], options["shift"] = map(list, (stated.normalization.factor, stated.normalization.shift))
    departures = {"output_stride": network.output_stride, "global_pool": stated.pooling}
    if match.source == "timm":
        options["model-args"] = json.dumps({name: value for name, value in departures.items() if value is not None})
    if code is not None:
        options["code"] = code.resolve()
    if match.classifier:
        options |= {"head": match.classifier.layer, "classifier": match.classifier_name}
    left_out = [*str(step.get("left_out", "")).split(), *map(escape, match.dropped)]
    return [f"--{name}={value}" for name, value in options.items()] + (["--leave-out", *left_out] if left_out else [])


def _upstream_logits(
    command: list[str], pixels: Mapping[str, Pixels], folder: Path
) -> tuple[dict[str, str], dict[str, Logits]]:
    """Versions of the framework, and its logits by the images' names."""
    np.savez(folder / PIXELS, **pixels)  # type: ignore[arg-type]
    files = [f"--pixels={folder / PIXELS}", f"--out={folder / LOGITS}"]
    run_script([*command, *files], "the source's framework did not run the file")
    with inputs.open_file(folder / LOGITS) as file, np.load(file, allow_pickle=False) as arrays:
        found = dict(arrays)
    return json.loads(str(found.pop("versions"))), found


def _our_logits(bundle: Bundle, pixels: Mapping[str, Pixels]) -> dict[str, Logits]:
    session = open_session(bundle)
    try:
        return {name: run_in_batches(session, images, PROBE_BATCH_SIZE) for name, images in pixels.items()}
    finally:
        session.close()


def _flat(logits: Mapping[str, Logits]) -> Logits:
    return np.concatenate(list(logits.values()))
