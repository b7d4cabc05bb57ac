"""The naming schemes that are known, and the upstream names that they give to the tensors of a variant."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from xception.arch.stackwise import Stackwise
from xception.arch.variants import architecture
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


STATED_SOURCES = ("lucid",)
"""Sources whose names other people give too, so that a file is theirs only if it says so."""


@cache
def published_variants(stated: str | None = None) -> tuple[tuple[str, str], ...]:
    """All pairs of a source and a variant that it publishes: of the source that a file states, or of all that are told
    by their names."""
    schemes = {name: scheme for name, scheme in NAMING_SCHEMES.items() if name not in STATED_SOURCES}
    if stated is not None:
        schemes = {stated: NAMING_SCHEMES[stated]}
    return tuple((name, variant) for name, scheme in schemes.items() for variant in scheme.PUBLISHED_VARIANTS)


@cache
def upstream_names(source: str, variant: str, stackwise: Stackwise | None = None) -> Mapping[str, UpstreamTensor]:
    """A source's names for a variant, perhaps with widths of its own, by canonical name."""
    return MappingProxyType(NAMING_SCHEMES[source].tensor_names(architecture(variant, stackwise=stackwise)))


@cache
def last_pointwise(variant: str, stackwise: Stackwise | None = None) -> str:
    """The canonical name of the last separable convolution's pointwise kernel, which no other layer's name resembles
    and no headless file lacks."""
    blocks = architecture(variant, stackwise=stackwise).blocks
    return f"blocks.{len(blocks) - 1}.units.{len(blocks[-1].units) - 1}.pointwise.weight"
