"""The programs that are measured. Rows of the same precision are compared with one another."""

from dataclasses import dataclass
from typing import Any

HERE = "benchmarks.contenders"


@dataclass(frozen=True)
class Contender:
    """What is measured: a module that serves, with options, in this environment or in another one.

    `batch` is that of the way from files to answers, None without it; `infers` tells whether it runs only the network.
    """

    name: str
    precision: str
    module: str
    options: tuple[str, ...] = ()
    environment: str | None = None
    variants: str = ""
    infers: bool = True
    batch: int | None = None


def _timm(name: str, precision: str, *options: str, **facts: Any) -> Contender:
    return Contender(name, precision, f"{HERE}.torch_timm", options, "timm", "timm_", **facts)


def _ours(backend: str, precision: str, instances: int, mode: str = "exact") -> Contender:
    name = f"xception, {backend}" + f", {instances} instances" * (instances > 1) + f", {mode}" * (mode != "exact")
    options = (backend, precision, str(instances), mode)
    return Contender(name, precision, f"{HERE}.ours", options, infers=mode == "exact", batch=8)


def _loop(runtime: str, name: str, precision: str, *options: str) -> Contender:
    return Contender(name, precision, f"{HERE}.loops", (runtime, *options), infers=False, batch=8)


def _app(hint: str, precision: str, hinted: str) -> Contender:
    return Contender(f"OpenVINO benchmark_app, {hint}", precision, f"{HERE}.runtimes", ("benchmark_app", hint, hinted))


CONTENDERS = (
    _ours("onnxruntime", "float32", 1),
    _ours("onnxruntime", "float32", 2),
    _ours("openvino", "float32", 1),
    _ours("openvino", "float32", 2),
    _timm("timm, eager", "float32"),
    _timm("timm, channels_last", "float32", "channels_last"),
    _timm("timm, torch.compile", "float32", "channels_last", "compiled"),
    _timm("timm, validate.py at its defaults", "float32", infers=False, batch=256),
    Contender("Keras predict", "float32", f"{HERE}.keras_predict", (), "keras", "keras_", batch=32),
    Contender("ONNX Runtime, a loop", "float32", f"{HERE}.runtimes", ("onnxruntime",), batch=8),
    Contender("OpenVINO, a loop", "float32", f"{HERE}.runtimes", ("openvino", "f32"), batch=8),
    _loop("onnxruntime", "ONNX Runtime and Pillow threads, by hand", "float32"),
    _loop("openvino", "OpenVINO AsyncInferQueue and Pillow threads, by hand", "float32", "f32"),
    _app("latency", "float32", "f32"),
    _app("throughput", "float32", "f32"),
    _ours("openvino", "bfloat16", 1),
    _ours("openvino", "bfloat16", 2),
    _ours("openvino", "bfloat16", 2, "fast"),
    _timm("timm, channels_last", "bfloat16", "channels_last", "bfloat16"),
    _timm("timm, torch.compile", "bfloat16", "channels_last", "bfloat16", "compiled"),
    _timm(
        "timm, validate.py --amp --channels-last -b 32",
        "bfloat16",
        "channels_last",
        "autocast",
        infers=False,
        batch=32,
    ),
    Contender("OpenVINO, a loop", "bfloat16", f"{HERE}.runtimes", ("openvino", "bf16"), batch=8),
    _loop("openvino", "OpenVINO AsyncInferQueue and Pillow threads, by hand", "bfloat16", "bf16"),
    _app("latency", "bfloat16", "bf16"),
    _app("throughput", "bfloat16", "bf16"),
)

GROUPS: dict[str, tuple[str, ...]] = {
    "loops": ("xception, onnxruntime, 2 instances", "xception, openvino, 2 instances", "by hand"),
}
"""Contenders that are compared from files to labels at every batch size, each by the end of its name."""


def members(group: str) -> tuple[Contender, ...]:
    """The contenders of a group."""
    return tuple(contender for contender in CONTENDERS if contender.name.endswith(GROUPS[group]))
