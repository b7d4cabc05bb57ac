"""Every published Xception, exactly: convert, train, evaluate, export, quantize, benchmark and run it, with proof."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "xception.bundle",
    "Preprocess": "xception.preprocess",
    "VARIANTS": "xception.arch.variants",
    "XceptionError": "xception.errors",
    "architecture": "xception.arch.variants",
    "benchmark": "xception.speed.benchmark",
    "build": "xception.models.network",
    "evaluate": "xception.tasks.evaluate",
    "export_bundle": "xception.export.export",
    "open_bundle": "xception.bundle",
    "open_session": "xception.backends.base",
    "open_source": "xception.data.sources",
    "predict": "xception.tasks.predict",
    "quantize_bundle": "xception.quantize.quantize",
    "train_network": "xception.train.trainer",
}
"""Where each public name lives; importing this package imports none of them."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'xception' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
