"""A conversion beside the framework that its file came from: both run on the same images, and logits are compared.

The framework runs in an interpreter of its own, which the user names, since the sources' requirements contradict each
other. What runs there is the script `xception.upstream.logits`, which loads the file as the source itself does.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from xception.arch.spec import Architecture
from xception.backends.base import Logits, Pixels, open_session, run
from xception.bundle import Bundle, Certificate
from xception.convert.load import Converted
from xception.errors import CheckFailed, UsageError
from xception.tasks.agreement import BATCH_SIZE, agreement_of, probe_pixels
from xception.upstream import logits as script
from xception.upstream.interpreter import run_script

RELATIVE_TOLERANCE = 1e-5
"""Largest logit difference over the largest logit. Frameworks differ by less than 1e-6 in float32, and the smallest
mistake that one variant taken for another makes is 5e-3."""

SAMPLES = 4
"""Images of each size."""

FIXED_SIZES_PX = {"mindspore_xception": (299, 320)}
"""Networks that take few sizes: MindSpore's own averages exactly 10x10 positions."""

PIXELS, LOGITS = "pixels.npz", "logits.npz"


def certified(converted: Converted, *, python: str | None, code: Path | None = None) -> Converted:
    """The same conversion with a certificate.

    Args:
        converted: what `load` made of a file.
        python: the interpreter of an environment that has the source's framework.
        code: a checkout of the source's repository, where the network is in no package.

    Raises:
        UsageError: the source's framework cannot be run on this conversion, or an argument is missing for it.
        EnvironmentFault: the interpreter or the framework in it does not work.
        CheckFailed: the logits differ.
    """
    command = [_interpreter(converted, python, code), script.__file__, *_options(converted, code)]
    with tempfile.TemporaryDirectory() as folder:
        trial = converted.write(Path(folder) / "trial")
        sizes = sizes_px(trial.model.network.architecture())
        pixels = {str(px): probe_pixels(trial, SAMPLES, (px, px)) for px in sizes}
        versions, theirs = _upstream_logits(command, pixels, Path(folder))
        ours = _our_logits(trial, pixels)
    measured = agreement_of(_flat(ours), _flat({name: theirs[name] for name in pixels}))
    if not measured.relative_diff <= RELATIVE_TOLERANCE:
        raise CheckFailed(
            f"{converted.file} as {trial.model.network.variant} differs from {' '.join(next(iter(versions.items())))} "
            f"by {measured.relative_diff:.1e} of the largest logit, more than {RELATIVE_TOLERANCE:.0e}; "
            "nothing was written; see whether another variant fits the file"
        )
    certificate = Certificate(source=converted.fit.source, versions=versions, sizes_px=sizes, agreement=measured)
    return replace(converted, model=msgspec.structs.replace(converted.model, certificate=certificate))


def sizes_px(architecture: Architecture) -> tuple[int, ...]:
    """Image sizes to compare at: odd and even ones, since several faults show at one of the two alone."""
    px = architecture.input_px
    return FIXED_SIZES_PX.get(architecture.name, (px // 2 + 1, px - px // 4, px))


def _interpreter(converted: Converted, python: str | None, code: Path | None) -> str:
    fit, network = converted.fit, converted.model.network
    if fit.source not in script.RUNNERS:
        raise UsageError(f"no framework of today runs the networks of {fit.source}; convert without --certify")
    if network.variant != fit.spec.name or network.num_classes != fit.spec.num_classes or not fit.is_full:
        raise UsageError(
            f"{converted.file} is converted to something else than the {fit.spec.name} that is in it, "
            "which no framework can confirm; convert without --certify"
        )
    if code is None and {fit.source, network.variant} & set(script.NEEDS_CODE):
        raise UsageError(
            f"the network {network.variant} is in no package; pass a checkout of its repository as --upstream-code"
        )
    if python is None:
        raise UsageError(
            f"a certificate needs the framework of {fit.source}; pass an interpreter that has it as --upstream-python"
        )
    return python


def _options(converted: Converted, code: Path | None) -> list[str]:
    fit, step = converted.fit, converted.model.lineage[-1].settings
    options: dict[str, object] = {
        "source": fit.source,
        "variant": fit.spec.name,
        "container": step["container"],
        "group": fit.weights.group,
        "prefix": fit.weights.prefix,
        "num-classes": fit.spec.num_classes,
        "in-channels": fit.spec.in_channels,
        "file": converted.file.resolve(),
    }
    if code is not None:
        options["code"] = code.resolve()
    left_out = str(step.get("left_out", "")).split()
    return [f"--{name}={value}" for name, value in options.items()] + (["--leave-out", *left_out] if left_out else [])


def _upstream_logits(
    command: list[str], pixels: Mapping[str, Pixels], folder: Path
) -> tuple[dict[str, str], dict[str, Logits]]:
    """Versions of the framework, and its logits by the images' names."""
    np.savez(folder / PIXELS, **pixels)  # type: ignore[arg-type]
    files = [f"--pixels={folder / PIXELS}", f"--out={folder / LOGITS}"]
    run_script([*command, *files], "the source's framework did not run the file")
    with np.load(folder / LOGITS) as arrays:
        found = dict(arrays)
    return json.loads(str(found.pop("versions"))), found


def _our_logits(bundle: Bundle, pixels: Mapping[str, Pixels]) -> dict[str, Logits]:
    session = open_session(bundle)
    try:
        return {name: run(session, images, BATCH_SIZE) for name, images in pixels.items()}
    finally:
        session.close()


def _flat(logits: Mapping[str, Logits]) -> Logits:
    return np.concatenate(list(logits.values()))
