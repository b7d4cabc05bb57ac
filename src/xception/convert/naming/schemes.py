"""The naming schemes that are known, and the upstream names that they give to the tensors of a variant."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from xception.arch.variants import VARIANTS
from xception.convert.naming import gluon, keras, keras_hub, lucid, mindspore, paddle, tfslim, timm, zeromodels
from xception.convert.naming.rename import NamingScheme, UpstreamTensor

NAMING_SCHEMES: Mapping[str, NamingScheme] = MappingProxyType(
    {
        "timm": timm,
        "gluon": gluon,
        "keras": keras,
        "keras_hub": keras_hub,
        "zeromodels": zeromodels,
        "lucid": lucid,
        "paddle": paddle,
        "mindspore": mindspore,
        "tfslim": tfslim,
    }
)
"""Modules by the name of the source that they describe."""


@cache
def published_variants() -> tuple[tuple[str, str], ...]:
    """All pairs of a source and a variant that it publishes."""
    return tuple((name, variant) for name, scheme in NAMING_SCHEMES.items() for variant in scheme.PUBLISHED_VARIANTS)


@cache
def upstream_names(source: str, variant: str) -> Mapping[str, UpstreamTensor]:
    """A source's names for a variant, by canonical name."""
    return MappingProxyType(NAMING_SCHEMES[source].tensor_names(VARIANTS[variant]))


@cache
def last_pointwise(variant: str) -> str:
    """The canonical name of the last separable convolution's pointwise kernel, which no other layer's name resembles
    and no headless file lacks."""
    blocks = VARIANTS[variant].blocks
    return f"blocks.{len(blocks) - 1}.units.{len(blocks[-1].units) - 1}.pointwise.weight"
