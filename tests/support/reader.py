"""A network that classifies digits, made in a second: random kernels, and a classifier fitted in closed form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from tests.support.samples import drawn_tensors
from xception.arch.graph import INPUT
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.bundle import Bundle, Graph, Model, Network, write_bundle
from xception.data.digits import digits
from xception.data.source import Items
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.labels import Labels
from xception.preprocess import Preprocess, Squash
from xception.quantize.observation import exposed_session
from xception.tasks.agreement import data_pixels
from xception.weights import weights_bytes

PX = 32
NETWORK = Network(variant="mini_xception", num_classes=10, in_channels=1)
PREPROCESS = Preprocess(
    color="gray", resize=Squash(width_px=PX, height_px=PX), interpolation="bilinear", mean=(0.5,), std=(0.5,)
)
RIDGE = 10.0

HELD_OUT = Items("held out", digits("test").classes, (*digits("validation").items, *digits("test").items))

Tensors = dict[str, np.ndarray]


def digits_bundle(folder: Path, spec: Architecture, tensors: Tensors) -> Bundle:
    model = Model(
        name="reader",
        network=NETWORK,
        form="onnx",
        precision="float32",
        preprocess=PREPROCESS,
        graph=Graph(input_name=INPUT, input_shape=(None, 1, PX, PX), output_name="logits"),
    )
    return write_bundle(
        folder, model, Labels(tuple("0123456789")), dict(onnx_files(program(spec, tensors, PREPROCESS)))
    )


def weights_of_digits(folder: Path) -> Bundle:
    """Weights of mini-XCEPTION as it was published."""
    model = Model(name="reader", network=NETWORK, form="weights", precision="float32", preprocess=PREPROCESS)
    files = {"weights.safetensors": weights_bytes(reader_tensors(NETWORK.architecture()))}
    return write_bundle(folder, model, Labels(tuple("0123456789")), files)


def reader_spec() -> Architecture:
    """mini-XCEPTION with batch normalisation between depthwise and pointwise, as the aligned networks have it."""
    spec = architecture("mini_xception", num_classes=10, in_channels=1)
    blocks = [replace(b, units=tuple(replace(unit, between="norm") for unit in b.units)) for b in spec.blocks]
    return replace(spec, blocks=tuple(blocks))


def reader_tensors(spec: Architecture, preprocess: Preprocess = PREPROCESS) -> Tensors:
    """Kernels as drawn, and the ridge regression of the classes on the features behind them."""
    tensors = drawn_tensors(spec)
    source = digits("train")
    targets = np.eye(10)[[item.target for item in source]]
    model = onnx.load_from_string(onnx_files(program(spec, tensors, preprocess))["model.onnx"])
    (name,) = [node.input[0] for node in model.graph.node if node.name == "head.classifier"]
    (maps,) = exposed_session(model, [name]).run([name], {INPUT: data_pixels(source, preprocess, len(source))})
    features = _patches(maps)
    centred, scale = features - features.mean(0), features.std()
    kernel = np.linalg.solve(
        centred.T @ centred / scale + RIDGE * scale * np.eye(features.shape[1]), centred.T @ (targets - 0.1) / scale
    )
    weight = kernel.T.reshape(10, -1, 3, 3)
    bias = 0.1 - features.mean(0) @ kernel
    classifier = {"head.classifier.weight": weight, "head.classifier.bias": bias}
    return tensors | {key: value.astype(np.float32) for key, value in classifier.items()}


def _patches(maps: np.ndarray) -> np.ndarray:
    """What a padded 3x3 convolution averages over positions: (N, C * 9)."""
    padded = np.pad(maps.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = maps.shape[2:]
    shifts = [padded[:, :, y : y + height, x : x + width].mean((2, 3)) for y in range(3) for x in range(3)]
    return np.stack(shifts, axis=2).reshape(len(maps), -1)


def blown_up_tensors(tensors: Tensors) -> Tensors:
    """The same function, with channels between depthwise and pointwise scaled apart by factors up to 1,000."""
    result, rng = dict(tensors), np.random.Generator(np.random.PCG64(0))
    for name in [key for key in tensors if key.endswith("between.norm.weight")]:
        unit = name.removesuffix(".between.norm.weight")
        factors = np.exp(rng.uniform(-1, 1, len(tensors[name])) * np.log(1000) / 2).astype(np.float32)
        for leaf in ("weight", "bias"):
            result[f"{unit}.between.norm.{leaf}"] = tensors[f"{unit}.between.norm.{leaf}"] * factors
        result[f"{unit}.pointwise.weight"] = tensors[f"{unit}.pointwise.weight"] / factors[None, :, None, None]
    return result
