"""A bundle as a folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` loads."""

from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from xception.arch.spec import with_drop
from xception.bundle import Bundle, Network
from xception.convert.naming import timm
from xception.convert.naming.rename import rename, rename_back
from xception.convert.readers import read_checkpoint
from xception.convert.timm_config import timm_config, timm_preprocess
from xception.errors import CheckFailed, UsageError
from xception.export.request import ExportRequest
from xception.outputs import ensure_free, json_document, staged_folder
from xception.weights import weights_bytes

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
    names = {TIMM_CONFIG, TIMM_WEIGHTS}
    ensure = partial(ensure_free, out, "a folder for timm", only=names, overwrite=request.overwrite)
    ensure()
    network = bundle.model.network
    variant = network.architecture().name
    name = UPSTREAM_NAMES.get(variant, variant.removeprefix("timm_"))
    config = timm_config(name, network.num_classes, bundle.model.preprocess, bundle.labels)
    tensors = bundle.tensors()
    with staged_folder(out, ensure) as folder:
        (folder / TIMM_CONFIG).write_bytes(json_document(config))
        (folder / TIMM_WEIGHTS).write_bytes(weights_bytes(rename_back(tensors, network.architecture(), timm)))
        _check_return(folder, bundle, tensors)
    return out


def _check_network(bundle: Bundle) -> None:
    network = bundle.model.network
    plain = Network(
        variant=network.variant, num_classes=network.num_classes, in_channels=network.in_channels
    ).architecture()
    own = with_drop(network.architecture(), plain.head.drop_rate, plain.drop_path_rate)
    if network.variant not in timm.PUBLISHED_VARIANTS or own != plain:
        raise UsageError(
            f"timm's folders say nothing of what makes the network in {bundle.path} another than {network.variant}: "
            f"{', '.join(_departures(network)) or 'its names'}; "
            f"expected one of {', '.join(timm.PUBLISHED_VARIANTS)} as published"
        )


def _departures(network: Network) -> list[str]:
    """The settings that make it another network than the published one, with their values."""
    usual = Network(variant=network.variant, num_classes=network.num_classes, in_channels=network.in_channels)
    own, plain = msgspec.to_builtins(network), msgspec.to_builtins(usual)
    return [f"{name} {value}" for name, value in own.items() if value != plain[name]]


def _check_return(folder: Path, bundle: Bundle, tensors: dict[str, np.ndarray]) -> None:
    found = read_checkpoint(folder)
    config = found.metadata["config"]
    own = bundle.model.preprocess
    stated = timm_preprocess(config) if isinstance(config, dict) else None
    # timm never follows EXIF, and has no field that says so.
    same_images = stated is not None and stated == msgspec.structs.replace(own, orientation=stated.orientation)
    back = rename(found.groups[""], bundle.model.network.architecture(), timm)
    if not same_images or any(not np.array_equal(back[name], tensors[name]) for name in tensors):
        raise CheckFailed(
            f"the folder for timm does not read back as {bundle.path}; nothing was written; report this with the bundle"
        )
