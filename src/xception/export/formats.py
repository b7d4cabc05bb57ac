"""Export of a bundle: written, run by the real runtime, compared with its parent, and only then put in place."""

import tempfile
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec

from xception.backends.base import Pixels, open_session
from xception.bundle import Agreement, Bundle, Form, Graph, Model, child, ensure_free, write_bundle
from xception.errors import CheckFailed, UnknownName, UsageError
from xception.export.onnx import INPUT_NAME, OUTPUT_NAME
from xception.tasks.agreement import agreement, probe_pixels
from xception.weights import read_weights

RELATIVE_TOLERANCE = 1e-5
"""Largest logit difference over the largest logit that an export in float32 may show. Rounding stays below
1e-6, and the smallest mistake that one variant taken for another makes is 5e-3."""


class Format(NamedTuple):
    """An export format: the function that makes its files, its form in a bundle, and the tools behind it."""

    module: str
    function: str
    form: Form
    tools: tuple[str, ...]


FORMATS: Mapping[str, Format] = {
    "onnx": Format("xception.export.onnx", "onnx_files", "onnx", ("onnx",)),
    "openvino": Format("xception.export.openvino", "openvino_files", "openvino", ("onnx", "openvino")),
}

FOLDERS: Mapping[str, str] = {"timm": "xception.export.timm"}
"""Formats of other libraries, which are no bundles: modules with `write_folder(bundle, out, overwrite=)`."""


def export_folder(bundle: Bundle, to: str, out: Path, *, overwrite: bool = False) -> Path:
    """Write the bundle's network as a folder that another library loads.

    Args:
        bundle: one with weights.
        to: a key of `FOLDERS`.
        out: where the folder is to lie.
        overwrite: replace such a folder that lies there.

    Raises:
        UnknownName: no such format.
        UsageError: the bundle holds no weights, or the library has no such network or preprocessing.
        InputError: `out` holds something else.
    """
    if to not in FOLDERS:
        raise UnknownName("export format", to, FORMATS.keys() | FOLDERS.keys())
    _check_weights(bundle)
    folder: Path = import_module(FOLDERS[to]).write_folder(bundle, out, overwrite=overwrite)
    return folder


def export_bundle(
    bundle: Bundle, to: str, out: Path, *, pixels: Pixels | None = None, overwrite: bool = False
) -> Bundle:
    """Write the bundle's network in another form, with its agreement with the weights.

    Args:
        bundle: one with weights.
        to: a key of `FORMATS`.
        out: where the new bundle is to lie.
        pixels: what to compare on, (N, C, H, W); by default black, white and noise.
        overwrite: replace a bundle that lies there.

    Raises:
        UnknownName: no such format.
        UsageError: the bundle holds no weights, or fixes no input size.
        CheckFailed: the runtime's logits differ; nothing is written.
    """
    if to not in FORMATS:
        raise UnknownName("export format", to, FORMATS.keys() | FOLDERS.keys())
    _check_weights(bundle)
    ensure_free(out, overwrite=overwrite)
    model, files = _convert(bundle, FORMATS[to])
    with tempfile.TemporaryDirectory() as folder:
        trial = write_bundle(Path(folder) / "trial", model, bundle.labels, files)
        measured = _compare(trial, bundle, probe_pixels(bundle) if pixels is None else pixels)
    if measured.relative_diff > RELATIVE_TOLERANCE:
        raise CheckFailed(
            f"the {to} export of {bundle.path} differs from its weights by {measured.relative_diff:.1e} of the largest "
            f"logit, more than {RELATIVE_TOLERANCE:.0e}; nothing was written; report this with the versions in use"
        )
    return write_bundle(
        out, msgspec.structs.replace(model, agreement=measured), bundle.labels, files, overwrite=overwrite
    )


def _check_weights(bundle: Bundle) -> None:
    if bundle.model.form != "weights":
        raise UsageError(
            f"{bundle.path} holds a graph of the form {bundle.model.form!r}; export from the bundle of weights"
        )


def _convert(bundle: Bundle, form: Format) -> tuple[Model, dict[str, bytes]]:
    size = bundle.model.preprocess.output_px
    if size is None:
        raise UsageError(f"the preprocessing of {bundle.path} fixes no input size; expected a crop or a squash")
    architecture = bundle.model.network.architecture()
    make = getattr(import_module(form.module), form.function)
    files: dict[str, bytes] = make(architecture, read_weights(bundle.main_file), *size)
    graph = Graph(input_name=INPUT_NAME, input_shape=(None, architecture.in_channels, *size), output_name=OUTPUT_NAME)
    model = child(bundle, "export", {tool: version(tool) for tool in form.tools}, to=form.form)
    return msgspec.structs.replace(model, form=form.form, graph=graph), files


def _compare(ours: Bundle, parent: Bundle, pixels: Pixels) -> Agreement:
    session, reference = open_session(ours), open_session(parent)
    try:
        return agreement(session, reference, pixels)
    finally:
        session.close()
        reference.close()
