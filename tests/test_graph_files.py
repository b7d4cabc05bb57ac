import contextlib
from collections.abc import Callable

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from xception.bundle import Bundle, unwritten_bundle
from xception.errors import InputError
from xception.forms import Form
from xception.graph_files import MAX_NESTED_GRAPHS, check_litert_closed, check_onnx_closed, check_openvino_closed

OPSET = helper.make_opsetid("", 17)


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])


def graph(*nodes: onnx.NodeProto, initial: tuple[onnx.TensorProto, ...] = ()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "g", [value("x")], [value("y")], list(initial))


def encoded(*nodes: onnx.NodeProto, **options: object) -> bytes:
    return helper.make_model(graph(*nodes, **options), opset_imports=[OPSET]).SerializeToString()


def external(location: str = "w.bin") -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def inside(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["y"], value=tensor)


def sparse(tensor: onnx.TensorProto) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.zeros(4, np.int64)), [9])


def branch(*nodes: onnx.NodeProto) -> onnx.NodeProto:
    return helper.make_node("If", ["c"], ["y"], then_branch=graph(*nodes), else_branch=graph())


def function(domain: str, *nodes: onnx.NodeProto) -> bytes:
    model = helper.make_model(graph(helper.make_node("F", ["x"], ["y"], domain=domain)), opset_imports=[OPSET])
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], list(nodes), [OPSET]))
    return model.SerializeToString()


RELU = helper.make_node("Relu", ["x"], ["y"])
FOREIGN = helper.make_node("Evil", ["x"], ["y"], domain="evil.ops")


@pytest.mark.parametrize(
    "data",
    [
        encoded(RELU, initial=(numpy_helper.from_array(np.zeros(4, np.float32), "w"),)),
        encoded(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")),
        encoded(branch(RELU)),
        function("own", RELU),
    ],
    ids=["plain", "of the runtime", "branches", "its own function"],
)
def test_a_whole_graph_of_known_operations_passes(data: bytes) -> None:
    check_onnx_closed(data)


def test_an_exported_graph_passes(onnx_bytes: bytes) -> None:
    check_onnx_closed(onnx_bytes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: encoded(RELU, initial=(external(),)), "takes values from outside itself"),
        (lambda: encoded(RELU, initial=(external("*/_ORT_MEM_ADDR_/*"),)), "takes values from outside itself"),
        (lambda: encoded(inside(external())), "takes values from outside itself"),
        (lambda: encoded(branch(inside(external()))), "takes values from outside itself"),
        (
            lambda: encoded(helper.make_node("Constant", [], ["y"], sparse_value=sparse(external()))),
            "takes values from outside itself",
        ),
        (lambda: encoded(FOREIGN), "'Evil' is from the domain 'evil.ops'"),
        (lambda: encoded(branch(branch(FOREIGN))), "'Evil' is from the domain 'evil.ops'"),
        (lambda: function("own", FOREIGN), "'Evil' is from the domain 'evil.ops'"),
        (lambda: function("other", RELU), "'F' is from the domain 'other'"),
        (lambda: encoded(helper.make_node("Loop", ["", "c"], ["y"], body=graph())), "a Loop, which may never end"),
        (lambda: b"broken", "damaged"),
        (lambda: encoded(RELU)[:-3], "damaged"),
    ],
)
def test_anything_from_elsewhere_or_without_an_end_is_refused(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_onnx_closed(make())


def test_a_field_that_comes_twice_is_judged_by_both(onnx_bytes: bytes) -> None:
    known, foreign = (node.SerializeToString() for node in (RELU, FOREIGN))
    domain = foreign[foreign.index(b"evil.ops") - 2 :]
    for node in (known + domain + b"\x3a\x00", domain + known):
        size = len(node)
        with pytest.raises(InputError, match=r"evil\.ops"):
            check_onnx_closed(b"\x3a" + bytes([size + 2]) + b"\x0a" + bytes([size]) + node)


def test_graphs_that_are_nested_too_deep_are_refused() -> None:
    node = RELU
    for _ in range(MAX_NESTED_GRAPHS + 1):
        node = branch(node)
    with pytest.raises(InputError, match="nested more than"):
        check_onnx_closed(encoded(node))


LAYER = '<layer id="0" name="a" type="{}" version="{}"/>'


def net(*layers: str, before: str = "") -> bytes:
    return f'<?xml version="1.0"?>{before}<net name="n" version="11"><layers>{"".join(layers)}</layers></net>'.encode()


def test_openvino_graphs_of_its_own_operations_pass() -> None:
    check_openvino_closed(net(LAYER.format("Parameter", "opset1"), LAYER.format("Convolution", "opset16")))
    check_openvino_closed(net(LAYER.format("Parameter", "opset1"), before="<!-- a comment -->"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (net(LAYER.format("Evil", "extension")), "'Evil' is from the extension 'extension'"),
        (net(LAYER.format("Evil", "")), "'Evil' is from the extension ''"),
        (net(before='<!DOCTYPE net [<!ENTITY e "e">]>'), "declares a document type"),
        (b"<net", "is not XML"),
        (b"", "is not XML"),
    ],
)
def test_openvino_graphs_with_extensions_or_entities_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_openvino_closed(data)


def litert(bundle: Bundle, change: Callable[[schema.ModelT], None]) -> bytes:
    """The file of a bundle after a change by the schema's own code."""
    model = schema.ModelT.InitFromPackedBuf(bundle.main_file.read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def as_custom(model: schema.ModelT) -> None:
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = "Evil"


def as_loop(model: schema.ModelT) -> None:
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.WHILE


def with_external_values(model: schema.ModelT) -> None:
    group = schema.ExternalBufferGroupT()
    group.name = "weights.bin"
    model.externalBufferGroups = [group]


def test_litert_graphs_of_its_own_operations_pass(forms: dict[Form, Bundle]) -> None:
    check_litert_closed(forms["litert"].main_file.read_bytes())
    check_litert_closed(litert(forms["litert"], lambda _: None))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (as_custom, "'Evil' is from an extension"),
        (as_loop, "holds a WHILE, which may never end"),
        (with_external_values, "takes values from outside itself"),
    ],
)
def test_litert_graphs_that_are_not_all_there_is_are_refused(
    change: Callable[[schema.ModelT], None], words: str, forms: dict[Form, Bundle]
) -> None:
    changed = litert(forms["litert"], change)
    with pytest.raises(InputError, match=words):
        check_litert_closed(changed)
    opened = unwritten_bundle(
        forms["litert"].path, forms["litert"].model, forms["litert"].labels, {"model.tflite": changed}
    )
    with pytest.raises(InputError, match=f"model.tflite is refused: .*{words}"):
        opened.content()


@pytest.mark.parametrize("data", [b"", b"\x00" * 8, b"\xff" * 64, b"\x08\x00\x00\x00TFL3" + b"\xff\x7f\x00\x00" * 9])
def test_bytes_that_are_no_litert_file_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="damaged or not whole"):
        check_litert_closed(data)


def test_a_litert_file_that_is_cut_anywhere_is_refused_or_read(forms: dict[Form, Bundle]) -> None:
    whole = forms["litert"].main_file.read_bytes()
    for size in range(0, 4000, 7):
        with contextlib.suppress(InputError):
            check_litert_closed(whole[:size])
