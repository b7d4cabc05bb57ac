"""The sources whose names for tensors are known, each a module with `VARIANTS`, `names` and `prepare`."""

from collections.abc import Mapping
from types import MappingProxyType

from xception.convert import gluon, keras, mindspore, paddle, tfslim, timm
from xception.convert.rename import Source

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "timm": timm,
        "gluon": gluon,
        "keras": keras,
        "paddle": paddle,
        "mindspore": mindspore,
        "tfslim": tfslim,
    }
)
