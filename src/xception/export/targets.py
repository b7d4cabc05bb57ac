"""The export targets: bundles in other forms, folders that other programs load, and packs for vendors' chips."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from xception.backends.base import BACKENDS
from xception.bundle import Bundle, Precision
from xception.errors import UnknownName, UsageError
from xception.export.request import ExportRequest, check_exportable, check_taken, graph_departures
from xception.forms import FORMS, HEAD_OPTIONS, NAME_OPTIONS, SIZE_OPTIONS, exportable
from xception.interchange.vamc import nearest_calibrate_mode

TargetKind = Literal["bundle", "folder", "pack"]

TARGET_KINDS: Mapping[TargetKind, str] = {
    "bundle": "make a bundle in that form",
    "folder": "make a folder that the program loads",
    "pack": "make a pack to carry to the vendor's chip",
}
"""Kinds of targets, in the words of the help text."""


@dataclass(frozen=True, kw_only=True)
class ExportTarget:
    """Something that an export can write."""

    kind: TargetKind
    module: str
    """Module with `write(request)`, which writes it whole or raises, and returns its path."""
    takes: frozenset[str]
    """Fields of `ExportRequest` and of its `GraphOptions` that it has a use for."""
    next: str = ""
    """A sensible next command, with `{xception}` for this program, and `{out}` and `{parent}` for its folder and
    the one that holds it."""
    takes_any: bool = False
    """Every bundle can be written for it, since it is carried along as it is."""
    graphs: frozenset[Precision] = frozenset()
    """Precisions of the finished ONNX graphs, ours or adopted, that can be written for it, not only weights."""
    own_quantizer: str = ""
    """The vendor's compiler, where it makes int8 of float graphs itself and reads no int8 graph."""
    packages: tuple[str, ...] = ()
    """The packages that writing and comparing it need."""


GRAPHS: frozenset[Precision] = frozenset({"float32", "int8"})


def _bundle_targets() -> Iterator[tuple[str, ExportTarget]]:
    for form in exportable():
        facts = FORMS[form]
        takes = facts.options | {"data"} | ({"upstream_python"} if facts.needs_upstream_python else set())
        module = "xception.export.export"
        backends = (BACKENDS[name].imported_as for name in facts.backends[:1])
        yield (
            form,
            ExportTarget(
                kind="bundle",
                module=module,
                takes=takes,
                next="{xception} evaluate {out} DATA" if facts.backends else "",
                graphs=GRAPHS if facts.int8 else frozenset(),
                packages=("torch", *backends, *(tool.replace("-", "_") for tool in facts.tools)),
            ),
        )


EXPORT_TARGETS: Mapping[str, ExportTarget] = {
    **dict(_bundle_targets()),
    "timm": ExportTarget(
        kind="folder",
        module="xception.export.timm",
        takes=frozenset(),
        next='timm.create_model("local-dir:{out}", pretrained=True)',
    ),
    "triton": ExportTarget(
        kind="folder",
        module="xception.export.triton",
        takes=SIZE_OPTIONS | HEAD_OPTIONS | NAME_OPTIONS | {"precision", "opset"},
        graphs=GRAPHS,
        next="tritonserver --model-repository {parent}, or here: {xception} evaluate {out}/1 DATA",
        packages=("torch", "onnx", "onnxruntime"),
    ),
    "kserve": ExportTarget(
        kind="folder",
        module="xception.export.kserve",
        takes=frozenset({"storage_uri", "image", "prometheus"}),
        takes_any=True,
        next="kubectl apply -f {out}/runtime.yaml -f {out}/service.yaml, after what {out}/README.md says",
        packages=("granian", "prometheus_client", "starlette", "yaml"),
    ),
    "ascend": ExportTarget(
        kind="pack",
        module="xception.export.packs.ascend",
        takes=frozenset({"data", "calibration", "inputs"}),
        graphs=frozenset({"int8"}),
        next="python3 {out}/verify.py, then {out}/README.md",
        packages=("torch", "onnx", "onnxruntime"),
    ),
    "vastai": ExportTarget(
        kind="pack",
        module="xception.export.packs.vastai",
        takes=frozenset({"data", "calibration", "calibrate_mode", "inputs"}),
        own_quantizer="vamc",
        next="python3 {out}/verify.py, then {out}/README.md",
        packages=("torch", "onnx", "onnxruntime", "yaml"),
    ),
}


BY_WAY_OF: Mapping[str, str] = {
    "tensorrt": "write onnx, and for int8 run xception quantize --signed; trtexec --onnx=model.onnx takes both",
    "coreml": "write pt2 with --fixed-batch 1, and run coremltools.convert(torch.export.load('model.pt2'))",
    "ncnn": "write onnx or torchscript, and run pnnx on it",
    "rknn": "write onnx with --fixed-batch 1, which RKNN-Toolkit2 loads",
    "tflite": "write litert, which is its name now",
    "safetensors": "write timm, or take weights.safetensors out of the bundle",
}
"""The way to formats of others, by names that users try."""

ALSO_CALLED: Mapping[str, str] = {
    "engine": "tensorrt",
    "jit": "torchscript",
    "mlmodel": "coreml",
    "mlpackage": "coreml",
    "ov": "openvino",
    "plan": "tensorrt",
    "saved_model": "tflite",
    "trt": "tensorrt",
}
"""Other names of formats, in capitals or not."""


OPTIONAL_PARTS = ("data", "calibration", "calibrate_mode", "upstream_python", "storage_uri", "image", "prometheus")
"""Fields of `ExportRequest` that not every target has a use for, None where they are not given."""


def export_target(to: str) -> ExportTarget:
    """The target of a name.

    Raises:
        UnknownName: there is no such target.
        UsageError: there is none, but a way there.
    """
    if to in EXPORT_TARGETS:
        return EXPORT_TARGETS[to]
    usual = ALSO_CALLED.get(to.lower(), to.lower())
    if usual in BY_WAY_OF:
        raise UsageError(f"{to} is not written here: {BY_WAY_OF[usual]}; targets are {', '.join(EXPORT_TARGETS)}")
    raise UnknownName("export target", to, EXPORT_TARGETS, ALSO_CALLED)


def targets_sentence() -> str:
    """All targets in words, by their kinds."""
    names = {kind: [to for to, target in EXPORT_TARGETS.items() if target.kind == kind] for kind in TARGET_KINDS}
    return " ".join(f"{', '.join(names[kind])} {words}." for kind, words in TARGET_KINDS.items())


def write_export(request: ExportRequest) -> Path:
    """Write what the request asks for, after it was run and compared with the weights. Returns its path.

    Raises:
        UnknownName: there is no such target.
        UsageError: the target is not made of such a bundle, or the request does not fit the bundle or the target.
        InputError: the place is taken, or images cannot be read.
        EnvironmentFault: the place cannot be written, or another interpreter does not work.
        CheckFailed: what was written is not the bundle's network; nothing is left behind.
    """
    target = export_target(request.to)
    _check_quantizer(request.bundle, target)
    if not target.takes_any:
        check_exportable(request.bundle, graphs=target.graphs)
    parts = {name for name in OPTIONAL_PARTS if getattr(request, name) is not None}
    check_taken(request.to, graph_departures(request.options).keys() | parts, target.takes)
    written: Path = import_module(target.module).write(request)
    return written


def _check_quantizer(bundle: Bundle, target: ExportTarget) -> None:
    """Refuse an int8 graph where the vendor's compiler quantizes by itself, and say how to ask it for the same."""
    model, compiler = bundle.model, target.own_quantizer
    if compiler and model.precision == "int8":
        methods = [str(step.settings["method"]) for step in model.lineage if "method" in step.settings]
        mode = nearest_calibrate_mode(methods[-1]) if methods else "max"
        raise UsageError(
            f"{bundle.path} is int8, and {compiler} reads no int8 graph but quantizes float ones itself; export the "
            f"bundle of weights that it was made from, with --calibration DATA --calibrate-mode {mode}"
        )
