"""A bundle as a folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` loads."""

from pathlib import Path

import numpy as np

from xception.bundle import Bundle
from xception.convert.naming import timm
from xception.convert.naming.rename import rename, rename_back
from xception.convert.readers import read_checkpoint
from xception.convert.timm_config import timm_config, timm_preprocess
from xception.errors import CheckFailed, UsageError
from xception.export.request import ExportRequest
from xception.outputs import ensure_free, json_document, staged_folder
from xception.weights import read_weights, weights_bytes

TIMM_CONFIG, TIMM_WEIGHTS = "config.json", "model.safetensors"

UPSTREAM_NAMES = {"timm_xception": "legacy_xception"}
"""Names in timm of variants that are not called like the variant without its prefix."""


def write(request: ExportRequest) -> Path:
    """Write timm's configuration and weights, read them back, and only then put them in place.

    Raises:
        UsageError: timm has no such network or preprocessing.
        InputError: the place holds something that is not to be replaced.
        CheckFailed: what was written does not read back as the bundle; nothing is left behind.
    """
    bundle, out = request.bundle, request.out
    _check_network(bundle)
    ensure_free(out, "a folder for timm", only={TIMM_CONFIG, TIMM_WEIGHTS}, overwrite=request.overwrite)
    network = bundle.model.network
    variant = network.architecture().name
    name = UPSTREAM_NAMES.get(variant, variant.removeprefix("timm_"))
    config = timm_config(name, network.num_classes, bundle.model.preprocess, bundle.labels)
    tensors = read_weights(bundle.main_file)
    with staged_folder(out) as folder:
        (folder / TIMM_CONFIG).write_bytes(json_document(config))
        (folder / TIMM_WEIGHTS).write_bytes(weights_bytes(rename_back(tensors, network.architecture(), timm)))
        _check_return(folder, bundle, tensors)
    return out


def _check_network(bundle: Bundle) -> None:
    network = bundle.model.network
    if network.variant not in timm.PUBLISHED_VARIANTS or network.width != 1.0 or network.output_stride is not None:
        raise UsageError(
            f"timm has no network like the {network.variant} of width {network.width} and output stride "
            f"{network.output_stride or 'as published'} in {bundle.path}; "
            f"expected one of {', '.join(timm.PUBLISHED_VARIANTS)} as published"
        )


def _check_return(folder: Path, bundle: Bundle, tensors: dict[str, np.ndarray]) -> None:
    found = read_checkpoint(folder)
    config = found.metadata["config"]
    same_images = isinstance(config, dict) and timm_preprocess(config) == bundle.model.preprocess
    back = rename(found.groups[""], bundle.model.network.architecture(), timm)
    if not same_images or any(not np.array_equal(back[name], tensors[name]) for name in tensors):
        raise CheckFailed(
            f"the folder for timm does not read back as {bundle.path}; nothing was written; report this with the bundle"
        )
