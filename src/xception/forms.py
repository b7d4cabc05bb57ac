"""The forms of a model: one row for each says which files it has, what writes, runs and reads it, and what it allows.

Everything that lists forms is made of this table: the bundle's files, the backends' choice, export and quantization
with their help texts and errors, the graph files that are described, and the tests that every form has to pass.
Functions are named as `module:function` and imported when they are used, since they need what not everyone installs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any, Literal

from xception.errors import MissingExtra

Form = Literal["weights", "onnx", "openvino", "litert", "pt2", "torchscript", "mindir"]
"""Name of a form, as it stands in `model.json` and in the options `--to`."""

Layout = Literal["nchw", "nhwc"]
"""Order of the axes of a batch of images."""

HEAD_OPTIONS = frozenset({"image_input", "probabilities", "top_k", "class_maps"})
"""Options of a graph that add operations at its ends."""

SIZE_OPTIONS = frozenset({"fixed_batch", "free_size"})
NAME_OPTIONS = frozenset({"input_name", "output_name"})


@dataclass(frozen=True, kw_only=True)
class Int8:
    """Quantization to a form, and export of an int8 ONNX graph to it."""

    writer: str
    """Function from an `onnx.ModelProto` in QDQ form to the content of the files by name."""
    options: frozenset[str]
    """Fields of `GraphOptions` that int8 in this form combines with."""
    rounds_logits: bool = False
    """The runtime has no integer layer with a result in float, so that logits take a grid too."""
    integer_ports: bool = False
    """Images may go in and logits out as integers."""


@dataclass(frozen=True, kw_only=True)
class FormFacts:
    """Everything that the program knows about one form."""

    title: str
    """Name of the format for people."""
    files: tuple[str, ...]
    """File names in a bundle; a runtime opens the first."""
    extra: str | None
    """Optional dependencies of this package that install what writes and runs the form."""
    tools: tuple[str, ...] = ()
    """Packages that take part in writing; their versions go into the bundle's history."""
    backends: tuple[str, ...] = ()
    """Runtimes that open the form, the preferred one first; none if the form is for other programs."""
    writer: str | None = None
    """Export: function from a `Program` to the content of the files by name."""
    options: frozenset[str] = frozenset()
    """Fields of `GraphOptions` that the export takes."""
    layout: Layout = "nchw"
    """Layout of a graph's float input."""
    runner: str | None = None
    """Function from a bundle and named batches of pixels to all outputs by name, where no backend runs the form."""
    needs_upstream_python: bool = False
    """Another interpreter writes and runs the form; writer, runner and `versions` take it as a last argument."""
    versions: str | None = None
    """Function that asks the other interpreter for the versions of its tools."""
    closed: str | None = None
    """Function that refuses the content of a main file that takes weights or operations from elsewhere."""
    taps: str | None = None
    """Function that opens a file so that it shows the values inside, where the runtime can."""
    ports: str | None = None
    """Function from a file to its inputs and outputs, where the file may be described without a bundle."""
    validator: str | None = None
    """Function that refuses files which break the rules of the format, where someone states them."""
    identity: str | None = None
    """Function that writes what the model is into its main file, where the format has a place for it."""
    int8: Int8 | None = None
    """Quantization to this form, where there is one."""

    @property
    def suffix(self) -> str:
        """End of the main file's name."""
        return PurePath(self.files[0]).suffix

    def function(self, name: str) -> Callable[..., Any]:
        """The function that this row names as `module:function`.

        Raises:
            MissingExtra: its module needs a package that is not installed.
        """
        module, _, attribute = name.partition(":")
        try:
            found: Callable[..., Any] = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            if self.extra is None or package == __package__:
                raise
            raise MissingExtra({package: self.extra}) from error
        return found


FORMS: Mapping[Form, FormFacts] = {
    "weights": FormFacts(
        title="safetensors",
        files=("weights.safetensors",),
        extra="torch",
        backends=("torch",),
        identity="xception.identity.safetensors:write",
    ),
    "onnx": FormFacts(
        title="ONNX",
        files=("model.onnx",),
        extra="onnx",
        tools=("onnx",),
        backends=("onnxruntime", "openvino"),
        writer="xception.export.onnx:onnx_files",
        options=SIZE_OPTIONS | HEAD_OPTIONS | NAME_OPTIONS | {"precision", "opset"},
        closed="xception.graph_files:check_onnx_closed",
        taps="xception.export.onnx:open_taps",
        ports="xception.backends.graphs:onnx_ports",
        validator="xception.backends.validity:check_onnx",
        identity="xception.identity.onnx:write",
        int8=Int8(
            writer="xception.quantize.int8_files:int8_onnx_files",
            options=SIZE_OPTIONS | HEAD_OPTIONS | NAME_OPTIONS | {"opset"},
        ),
    ),
    "openvino": FormFacts(
        title="OpenVINO",
        files=("model.xml", "model.bin"),
        extra="openvino",
        tools=("onnx", "openvino"),
        backends=("openvino",),
        writer="xception.export.openvino:openvino_files",
        options=SIZE_OPTIONS | HEAD_OPTIONS | NAME_OPTIONS | {"precision", "opset"},
        closed="xception.graph_files:check_openvino_closed",
        taps="xception.export.openvino:open_taps",
        ports="xception.backends.graphs:openvino_ports",
        validator="xception.backends.validity:check_openvino",
        identity="xception.identity.openvino:write",
        int8=Int8(
            writer="xception.quantize.int8_files:int8_openvino_files",
            options=SIZE_OPTIONS | HEAD_OPTIONS | NAME_OPTIONS | {"opset"},
        ),
    ),
    "litert": FormFacts(
        title="LiteRT",
        files=("model.tflite",),
        extra="litert",
        tools=("ai-edge-litert",),
        backends=("litert",),
        writer="xception.export.litert:litert_files",
        options=SIZE_OPTIONS | HEAD_OPTIONS | NAME_OPTIONS | {"precision"},
        layout="nhwc",
        taps="xception.export.litert:open_taps",
        ports="xception.backends.graphs:litert_ports",
        closed="xception.graph_files:check_litert_closed",
        validator="xception.backends.validity:check_litert",
        identity="xception.identity.litert:write",
        int8=Int8(
            writer="xception.quantize.litert:int8_litert_files",
            options=SIZE_OPTIONS | HEAD_OPTIONS | NAME_OPTIONS | {"opset"},
            rounds_logits=True,
            integer_ports=True,
        ),
    ),
    "pt2": FormFacts(
        title="torch.export",
        files=("model.pt2",),
        extra="torch",
        tools=("torch",),
        writer="xception.export.torch:pt2_files",
        options=SIZE_OPTIONS | HEAD_OPTIONS,
        runner="xception.export.torch:run_pt2",
        identity="xception.identity.torch_archive:write",
    ),
    "torchscript": FormFacts(
        title="TorchScript",
        files=("model.pt",),
        extra="torch",
        tools=("torch",),
        writer="xception.export.torch:torchscript_files",
        options=SIZE_OPTIONS | HEAD_OPTIONS,
        runner="xception.export.torch:run_torchscript",
        identity="xception.identity.torch_archive:write",
    ),
    "mindir": FormFacts(
        title="MindIR",
        files=("model.mindir",),
        extra=None,
        writer="xception.export.mindir:mindir_files",
        options=SIZE_OPTIONS | HEAD_OPTIONS,
        runner="xception.export.mindir:run_mindir",
        needs_upstream_python=True,
        versions="xception.export.mindir:mindspore_versions",
    ),
}


def exportable() -> tuple[Form, ...]:
    """The forms that an export writes."""
    return tuple(form for form, facts in FORMS.items() if facts.writer)


QUANTIZABLE_FROM: Form = "onnx"
"""The form that quantization starts from, whatever it writes; weights are brought into it first."""

OLDEST_INT8_OPSET = 13
"""The first version of the ONNX operators with a grid for each channel of a kernel."""


def quantizable() -> tuple[Form, ...]:
    """The forms that quantization writes."""
    return tuple(form for form, facts in FORMS.items() if facts.int8)


def describable() -> dict[str, Form]:
    """The forms whose files are described without a bundle, by the end of the file's name."""
    return {facts.suffix: form for form, facts in FORMS.items() if facts.ports}


def run_by(backend: str) -> tuple[Form, ...]:
    """The forms that a backend opens, those that prefer it first."""
    found = {form: facts.backends.index(backend) for form, facts in FORMS.items() if backend in facts.backends}
    return tuple(sorted(found, key=lambda form: found[form]))
