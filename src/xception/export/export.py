"""Export of a bundle: written, run by the real runtime, compared with its parent, and only then put in place."""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec

from xception.backends.base import Pixels
from xception.bundle import Bundle, Form, Model, child, ensure_free_for_bundle, write_bundle
from xception.errors import CheckFailed, UnknownName, UsageError
from xception.export.program import GraphOptions, Layout, Program, program
from xception.export.verify import Runner, verify
from xception.extras import require
from xception.tasks.agreement import probe_pixels
from xception.weights import read_weights

PROBES = 14
"""Images of each size to compare on when no data is at hand."""


class Format(NamedTuple):
    """An export format: the function that makes its files of a program, its form in a bundle, the tools behind it,
    the options that it takes, and the layout of its images."""

    module: str
    function: str
    form: Form
    tools: tuple[str, ...]
    options: frozenset[str]
    layout: Layout = "nchw"
    run: str | None = None
    """The function that runs a bundle of this form where no backend does, as `verify` asks."""
    foreign: bool = False
    """Whether another interpreter writes and runs it, which the functions are then given; the module's `tools` asks
    it for versions."""

    def write(self, made: Program, python: str | None) -> tuple[dict[str, bytes], dict[str, str]]:
        """The files, and the versions of the tools."""
        if "torch" in self.tools:
            require("torch", "torch")  # the module imports it
        module = import_module(self.module)
        if self.foreign:
            return getattr(module, self.function)(made, python), module.tools(python)
        return getattr(module, self.function)(made), {tool: version(tool) for tool in self.tools}

    def runner(self, exported: Bundle, python: str | None) -> Runner | None:
        """What `verify` is to run the bundle with; None leaves it to a backend."""
        if self.run is None:
            return None
        run = partial(getattr(import_module(self.module), self.run), exported)
        return partial(run, python=python) if self.foreign else run


PLAIN = frozenset({"fixed_batch", "free_size", "precision", "input_name", "output_name"})
ADDED = frozenset({"image_input", "softmax", "top_k", "class_maps"})
NAMELESS = frozenset({"fixed_batch", "free_size"}) | ADDED

FORMATS: Mapping[str, Format] = {
    "onnx": Format("xception.export.onnx", "onnx_files", "onnx", ("onnx",), PLAIN | ADDED | {"opset"}),
    "openvino": Format(
        "xception.export.openvino", "openvino_files", "openvino", ("onnx", "openvino"), PLAIN | ADDED | {"opset"}
    ),
    "litert": Format("xception.export.litert", "litert_files", "litert", ("ai-edge-litert",), PLAIN | ADDED, "nhwc"),
    "pt2": Format("xception.export.torch", "pt2_files", "pt2", ("torch",), NAMELESS, run="run_pt2"),
    "torchscript": Format(
        "xception.export.torch", "torchscript_files", "torchscript", ("torch",), NAMELESS, run="run_torchscript"
    ),
    "mindir": Format("xception.export.mindir", "mindir_files", "mindir", (), NAMELESS, run="run_mindir", foreign=True),
}

FOLDERS: Mapping[str, str] = {"timm": "xception.export.timm", "triton": "xception.export.triton"}
"""Formats of other programs, which are no bundles: modules with `write_folder(bundle, out, options=, overwrite=)`."""

PACKS: Mapping[str, str] = {"ascend": "xception.export.packs.ascend", "vastai": "xception.export.packs.vastai"}
"""What is carried to the machine with a vendor's chip: modules with `write(request, out, overwrite=)`."""


def export_folder(
    bundle: Bundle, to: str, out: Path, *, options: GraphOptions | None = None, overwrite: bool = False
) -> Path:
    """Write the bundle's network as a folder that another program loads.

    Args:
        bundle: one with weights.
        to: a key of `FOLDERS`.
        out: where the folder is to lie.
        options: how a graph in it is to differ from its plain form.
        overwrite: replace such a folder that lies there.

    Raises:
        UnknownName: no such format.
        UsageError: the bundle holds no weights, or the program has no such network, preprocessing or options.
        InputError: `out` holds something else.
    """
    if to not in FOLDERS:
        raise UnknownName("export format", to, FORMATS.keys() | FOLDERS.keys() | PACKS.keys())
    check_weights(bundle)
    folder: Path = import_module(FOLDERS[to]).write_folder(bundle, out, options=options, overwrite=overwrite)
    return folder


def export_bundle(
    bundle: Bundle,
    to: str,
    out: Path,
    *,
    options: GraphOptions | None = None,
    pixels: Pixels | None = None,
    upstream_python: str | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write the bundle's network in another form, with its agreement with the weights.

    Args:
        bundle: one with weights.
        to: a key of `FORMATS`.
        out: where the new bundle is to lie.
        options: how the graph is to differ from its plain form.
        pixels: images to compare on besides black, white, gray and noise, (N, C, H, W).
        upstream_python: an interpreter that has the form's framework, where this environment cannot hold it.
        overwrite: replace a bundle that lies there.

    Raises:
        UnknownName: no such format.
        UsageError: the bundle holds no weights, or the options do not fit it or the format.
        EnvironmentFault: the other interpreter or the framework in it does not work.
        CheckFailed: the runtime's logits differ; nothing is written.
    """
    if to not in FORMATS:
        raise UnknownName("export format", to, FORMATS.keys() | FOLDERS.keys() | PACKS.keys())
    options = options or GraphOptions()
    check_weights(bundle)
    _check_options(to, options)
    _check_python(to, upstream_python)
    ensure_free_for_bundle(out, overwrite=overwrite)
    model, files = _convert(bundle, to, options, upstream_python)
    with tempfile.TemporaryDirectory() as folder:
        trial = write_bundle(Path(folder) / "trial", model, bundle.labels, files)
        try:
            measured = verify(trial, bundle, _probes(trial, pixels), FORMATS[to].runner(trial, upstream_python))
        except CheckFailed as error:
            raise CheckFailed(f"the {to} export of {bundle.path} is wrong, nothing was written: {error}") from error
    return write_bundle(
        out, msgspec.structs.replace(model, agreement=measured), bundle.labels, files, overwrite=overwrite
    )


def check_weights(bundle: Bundle) -> None:
    """Refuse a bundle without weights.

    Raises:
        UsageError: it holds a graph.
    """
    if bundle.model.form != "weights":
        raise UsageError(
            f"{bundle.path} holds a graph of the form {bundle.model.form!r}; export from the bundle of weights"
        )


def _check_options(to: str, options: GraphOptions) -> None:
    refused = sorted(_departures(options).keys() - FORMATS[to].options)
    if refused:
        raise UsageError(f"{to} has no {' or '.join(refused)}; it takes {', '.join(sorted(FORMATS[to].options))}")


def _departures(options: GraphOptions) -> dict[str, str | int | bool]:
    """What the options say otherwise than the plain form."""
    plain = GraphOptions()
    return {name: value for name, value in vars(options).items() if value != getattr(plain, name)}


def _check_python(to: str, python: str | None) -> None:
    if FORMATS[to].foreign and python is None:
        raise UsageError(
            f"{to} needs an environment of its own; pass an interpreter that has the framework as --upstream-python"
        )
    if python is not None and not FORMATS[to].foreign:
        raise UsageError(f"{to} is written by this interpreter; pass no --upstream-python")


def _convert(bundle: Bundle, to: str, options: GraphOptions, python: str | None) -> tuple[Model, dict[str, bytes]]:
    form, model = FORMATS[to], bundle.model
    weights = read_weights(bundle.main_file)
    made = program(model.network.architecture(), weights, model.preprocess, options, form.layout)
    files, tools = form.write(made, python)
    opset = {"opset": options.opset} if "opset" in form.options else {}
    step = child(bundle, "export", tools, to=to, **{**opset, **_departures(options)})
    return msgspec.structs.replace(step, form=form.form, graph=made.graph, precision=options.precision), files


def _probes(exported: Bundle, pixels: Pixels | None) -> Sequence[Pixels]:
    """What to compare on: the images at hand and extremes, and where the graph takes any size a smaller one too."""
    native = exported.model.preprocess.output_px or (exported.model.network.architecture().input_px,) * 2
    probes = [probe_pixels(exported, PROBES, native)] + ([] if pixels is None else [pixels])
    free = exported.graph.input_shape[2] is None
    # Odd where the other is even, since faults of padding show at one of the two alone.
    smaller = (native[0] - native[0] // 4, native[1] - native[1] // 4 + 1)
    return [*probes, probe_pixels(exported, PROBES, smaller)] if free else probes
