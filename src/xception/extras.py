"""Optional dependencies: imported where they are used, announced here when they are missing."""

import importlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType, ModuleType

from xception.errors import EnvironmentFault, MissingExtra, first_line, install_command

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "aiohttp": "cloud",
        "ai_edge_litert": "litert",
        "cleanlab": "labels",
        "flatbuffers": "litert",
        "fsspec": "cloud",
        "google": "grpc",
        "granian": "serve",
        "grpc": "grpc",
        "httpx": "hub",
        "imagehash": "data",
        "jinja2": "report",
        "lightning_fabric": "torch",
        "matplotlib": "report",
        "mlflow": "track",
        "model_signing": "sign",
        "nncf": "quantize",
        "obstore": "cloud",
        "onnx": "onnx",
        "onnxruntime": "onnx",
        "OpenSSL": "sign",
        "openvino": "openvino",
        "pandas": "notebook",
        "pillow_heif": "heic",
        "prometheus_client": "serve",
        "pyarrow": "data",
        "python_multipart": "serve",
        "ray": "ray",
        "scipy": "data",
        "simplejpeg": "fast",
        "sklearn": "train",
        "starlette": "serve",
        "tensorboard": "train",
        "torch": "torch",
        "wandb": "track",
        "yaml": "vendors",
    }
)
"""The smallest group of optional dependencies that installs each package, by the name that is imported."""


QUIET: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        # Its own function for this comes too late: importing it already writes an identifier into the user's cache.
        "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
        "mlflow": {"MLFLOW_DISABLE_TELEMETRY": "true"},
        "ray": {"RAY_USAGE_STATS_ENABLED": "0"},
        "wandb": {"WANDB_ERROR_REPORTING": "false"},
    }
)
"""Environment variables that keep a package from telling others of its use; it looks at them when it is imported."""

REPORTERS: Mapping[str, tuple[str, ...]] = MappingProxyType({"openvino": ("openvino_telemetry",)})
"""Modules that send reports for a package, which does without them where they cannot be imported."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which the optional dependency group `extra` installs.

    Raises:
        MissingExtra: the package is not installed; the message holds the command that installs it.
    """
    _silence(module.split(".")[0])
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Only the absence of the package itself can be helped by an installation; a broken import inside it cannot.
        if error.name is not None and module.split(".")[0] == error.name.split(".")[0]:
            raise MissingExtra({module.split(".")[0]: extra}) from error
        raise


def _silence(package: str) -> None:
    """Keep a package that is about to be imported from telling others of its use."""
    for name, value in QUIET.get(package, {}).items():
        os.environ.setdefault(name, value)
    for reporter in REPORTERS.get(package, ()):
        sys.modules.setdefault(reporter, None)  # type: ignore[arg-type]  # forbids the import


def require_all(*packages: str) -> None:
    """Refuse a request, before any work is done, for all the packages of `EXTRAS` at once that it lacks.

    Raises:
        MissingExtra: some are not installed; the message holds the one command that installs them all.
    """
    missing = {name: EXTRAS[name] for name in packages if not is_installed(name)}
    if missing:
        raise MissingExtra(missing)


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without importing it."""
    try:
        return find_spec(package) is not None
    except (ModuleNotFoundError, ValueError):  # the latter of a module that something else put in its place
        return False


def missing_extra(error: ModuleNotFoundError) -> MissingExtra | None:
    """The message about a package of `EXTRAS` whose import failed; None for any other, whose failure is a bug."""
    package = (error.name or "").split(".")[0]
    return MissingExtra({package: EXTRAS[package]}) if package in EXTRAS and not is_installed(package) else None


def broken_package(error: BaseException) -> EnvironmentFault | None:
    """The sentence on a package of `EXTRAS` that is installed and ended its own import with this error, such as one
    that was built for another system; None for any other error."""
    trace, package = error.__traceback__, None
    while trace:
        top = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
        is_import = trace.tb_frame.f_code.co_name == "<module>"
        package = package or (top if is_import and top in EXTRAS else None)
        trace = trace.tb_next
    if package is None:
        return None
    return EnvironmentFault(
        f"the Python package {package!r} is installed and cannot be imported: {first_line(error)}; install it again: "
        f"{install_command(EXTRAS[package])}"
    )


@cache
def optional(module: str) -> ModuleType | None:
    """Import `module`, which only makes faster what is done without it too, or None where it is not installed."""
    try:
        return require(module, "fast")
    except MissingExtra:
        return None
