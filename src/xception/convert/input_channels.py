"""Trained weights for images of another number of channels: the first convolution's kernel, fitted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import msgspec
import numpy as np

from xception.arch.compute import STEM_WEIGHT
from xception.convert.conversion import Conversion
from xception.convert.defaults import with_channels
from xception.errors import UsageError

StemRule = Literal["sum", "repeat"]


def adapt_stem(tensors: Mapping[str, np.ndarray], in_channels: int, rule: StemRule) -> dict[str, np.ndarray]:
    """The tensors with a first kernel for `in_channels` channels instead of its own C.

    - `sum` adds the kernel's channels up, for one gray channel: a gray image gives what its copy in all C
      channels gave, if both are normalised alike.
    - `repeat` takes the kernel's channels round and round and scales them by C / `in_channels`, timm's rule. An
      image whose channels are all equal still gives what it gave if `in_channels` is a multiple of C.

    Raises:
        UsageError: no channel, or `sum` for more than one.
    """
    if in_channels < 1:
        raise UsageError(f"in_channels is {in_channels}; expected at least 1")
    if rule == "sum" and in_channels != 1:
        raise UsageError(f"the rule 'sum' makes a kernel for 1 channel, not {in_channels}; use 'repeat'")
    kernel = tensors[STEM_WEIGHT]
    if kernel.shape[1] == in_channels:
        return dict(tensors)
    if rule == "sum":
        fitted = kernel.sum(axis=1, keepdims=True)
    else:
        own = kernel.shape[1]
        fitted = kernel[:, np.arange(in_channels) % own] * (own / in_channels)
    return {**tensors, STEM_WEIGHT: fitted.astype(kernel.dtype)}


def adapt_input_channels(conversion: Conversion, in_channels: int, rule: StemRule) -> Conversion:
    """The same conversion for images of another number of channels; its history says by which rule.

    Raises:
        UsageError: the rule cannot make this number of channels, or no image has it.
    """
    model = conversion.model
    *earlier, step = model.lineage
    settings = {**step.settings, "in_channels": in_channels, "stem": rule}
    model = msgspec.structs.replace(
        model,
        network=msgspec.structs.replace(model.network, in_channels=in_channels),
        preprocess=with_channels(model.preprocess, in_channels),
        lineage=(*earlier, msgspec.structs.replace(step, settings=settings)),
        certificate=None,
    )
    return replace(conversion, model=model, tensors=adapt_stem(conversion.tensors, in_channels, rule))
