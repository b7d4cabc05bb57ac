from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx.reference import ReferenceEvaluator

from tests.support.samples import drawn_tensors
from xception.arch.variants import VARIANTS, architecture
from xception.backends.validity import check_files
from xception.bundle import Bundle
from xception.errors import CheckFailed
from xception.export.onnx import onnx_files
from xception.export.program import GraphOptions, program
from xception.extras import require
from xception.forms import FORMS, Form
from xception.preprocess import CenterCrop, Preprocess
from xception.quantize.litert import int8_litert_files
from xception.quantize.observation import observe
from xception.quantize.qdq import Scheme, quantize_graph

REFERENCE_OPSET = 21
"""ONNX's reference evaluator knows grids for each channel from here on."""


def float_and_int8(variant: str, opset: int, px: int = 33) -> tuple[onnx.ModelProto, onnx.ModelProto, np.ndarray]:
    spec = architecture(variant, width=0.03, num_classes=5)
    crop, rows = CenterCrop(width_px=px, height_px=px), {"mean": (0.5,) * spec.in_channels}
    preprocess = Preprocess(
        crop=crop, color="gray" if spec.in_channels == 1 else "rgb", std=(0.5,) * spec.in_channels, **rows
    )
    made = program(spec, drawn_tensors(spec), preprocess, GraphOptions(opset=opset))
    model = onnx.load_from_string(onnx_files(made)["model.onnx"])
    pixels = np.random.default_rng(0).normal(size=(2, spec.in_channels, px, px)).astype(np.float32)
    return model, quantize_graph(model, observe(model, [pixels]).ranges("max"), Scheme()), pixels


SHALLOW = ("mini_xception", "keras_xception")
"""Variants whose int8 graphs the quantizer writes in two seconds."""


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=() if name in SHALLOW else pytest.mark.slow) for name in VARIANTS]
)
def test_float_and_int8_onnx_is_valid_and_runs_in_onnx_own_reference(variant: str) -> None:
    for model in (float_and_int8(variant, 13)[1], *(built := float_and_int8(variant, REFERENCE_OPSET))[:2]):
        check_files("onnx", {"model.onnx": model.SerializeToString()})
    for model in built[:2]:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (ours,) = session.run(None, {"pixels": built[2]})
        (theirs,) = ReferenceEvaluator(model).run(None, {"pixels": built[2]})
        # Where a sum falls between two integers, one of them may be taken here and the other there.
        assert np.abs(ours - theirs).max() / np.abs(theirs).max() < (1e-5 if model is built[0] else 0.1)


@pytest.fixture(scope="module")
def int8() -> onnx.ModelProto:
    return float_and_int8("mini_xception", 13)[1]


def in_the_quantizers_own_order(model: onnx.ModelProto) -> None:
    grids = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    rest = [node for node in model.graph.node if node not in grids]
    del model.graph.node[:]
    model.graph.node.extend([*rest, *grids])


def with_another_shape(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 6


def with_an_unknown_setting(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Conv").attribute.append(
        onnx.helper.make_attribute("colour", 1)
    )


@pytest.mark.parametrize("spoil", [in_the_quantizers_own_order, with_another_shape, with_an_unknown_setting])
def test_a_fault_in_onnx_is_found(spoil: Callable[[onnx.ModelProto], None], int8: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(int8)
    spoil(model)
    with pytest.raises(CheckFailed, match=r"model\.onnx is no valid ONNX file, though it was just made: "):
        check_files("onnx", {"model.onnx": model.SerializeToString()})


def contents(bundle: Bundle) -> dict[str, bytes]:
    return {name: (bundle.path / name).read_bytes() for name in FORMS[bundle.model.form].files}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_valid(form: Form, forms: dict[Form, Bundle]) -> None:
    if form in forms:
        check_files(form, contents(forms[form]))


@pytest.mark.parametrize(
    ("old", "new"), [(b'strides="2, 2"', b'strides="0, 2"'), (b"<edge ", b"<hedge "), (b'type="Add"', b'type="Sum"')]
)
def test_a_fault_in_openvino_is_found(old: bytes, new: bytes, forms: dict[Form, Bundle]) -> None:
    files = contents(forms["openvino"])
    assert old in files["model.xml"]
    with pytest.raises(CheckFailed, match=r"model\.xml is no valid OpenVINO file"):
        check_files("openvino", files | {"model.xml": files["model.xml"].replace(old, new, 1)})


def out_of_order(model: Any) -> None:
    model.subgraphs[0].operators.reverse()


def with_a_short_constant(model: Any) -> None:
    buffer = max((buffer for buffer in model.buffers if buffer.data is not None), key=lambda b: len(b.data))
    buffer.data = buffer.data[:-1]


def with_a_scale_too_few(model: Any) -> None:
    grids = [tensor.quantization for tensor in model.subgraphs[0].tensors if tensor.quantization is not None]
    grid = next(grid for grid in grids if len(grid.scale) > 2)
    grid.scale, grid.zeroPoint = grid.scale[:-1], grid.zeroPoint[:-1]


def with_a_zero_point_out_of_bounds(model: Any) -> None:
    tensor = next(tensor for tensor in model.subgraphs[0].tensors if tensor.quantization is not None)
    tensor.quantization.zeroPoint = [300]


def with_an_output_that_nothing_computes(model: Any) -> None:
    model.subgraphs[0].operators.pop()


LITERT_FAULTS = {
    out_of_order: "reads .* before it is computed",
    with_a_short_constant: r"has \d+ bytes, expected \d+",
    with_a_scale_too_few: "expected one or one for each channel",
    with_a_zero_point_out_of_bounds: "a grid beyond the numbers of int8",
    with_an_output_that_nothing_computes: "the output .* is not computed",
}


@pytest.mark.parametrize("spoil", LITERT_FAULTS)
def test_a_fault_in_litert_is_found(spoil: Callable[[Any], None], int8: onnx.ModelProto) -> None:
    files = int8_litert_files(int8)
    check_files("litert", files)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(files["model.tflite"]))
    spoil(model)
    builder = require("flatbuffers", "litert").Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(CheckFailed, match=rf"model\.tflite is no valid LiteRT file.*{LITERT_FAULTS[spoil]}"):
        check_files("litert", {"model.tflite": bytes(builder.Output())})
