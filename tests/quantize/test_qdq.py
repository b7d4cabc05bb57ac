import numpy as np
import onnx
import pytest

from xception.bundle import Bundle
from xception.data.digits import digits
from xception.quantize.observation import Observation, exposed_session, observe
from xception.quantize.qdq import Scheme, float_island, layers, quantize_graph, scales, scales_csv, with_activation
from xception.tasks.agreement import data_pixels


@pytest.fixture(scope="module")
def model(reader: Bundle) -> onnx.ModelProto:
    return onnx.load(reader.main_file)


@pytest.fixture(scope="module")
def pixels(reader: Bundle) -> np.ndarray:
    return data_pixels(digits("train"), reader.model.preprocess, 16)


@pytest.fixture(scope="module")
def seen(model: onnx.ModelProto, pixels: np.ndarray) -> Observation:
    return observe(model, [pixels])


def grids(graph: onnx.ModelProto) -> dict[str, tuple[float, ...]]:
    return {row.tensor: row.scales for row in scales(graph)}


def test_kernels_have_a_scale_a_channel_or_one_for_all(model: onnx.ModelProto, seen: Observation) -> None:
    ranges = seen.ranges("max")
    many = grids(quantize_graph(model, ranges, Scheme()))
    one = grids(quantize_graph(model, ranges, Scheme(per_channel=False)))
    kernel = "blocks.1.units.0.depthwise.weight"
    assert len(many[kernel]) == 16
    assert len(one[kernel]) == 1
    assert one[kernel][0] == pytest.approx(max(many[kernel]))


def test_seven_bits_are_half_the_integers_of_eight(model: onnx.ModelProto, seen: Observation) -> None:
    ranges, kernel = seen.ranges("max"), "head.classifier.weight"
    seven, eight = (grids(quantize_graph(model, ranges, Scheme(weight_bits=bits)))[kernel] for bits in (7, 8))
    assert np.divide(seven, eight) == pytest.approx(127 / 64, rel=0.02)


def test_signed_grids_have_the_zero_point_zero_and_biases_in_float(model: onnx.ModelProto, seen: Observation) -> None:
    rows = scales(quantize_graph(model, seen.ranges("max", is_signed=True), Scheme(is_signed=True)))
    assert {(row.dtype, *set(row.zero_points)) for row in rows} == {("int8", 0)}
    assert {row.kind for row in rows} == {"weight", "activation"}


def test_only_the_named_layers_are_quantized_and_the_excluded_are_not(
    model: onnx.ModelProto, seen: Observation
) -> None:
    ranges = seen.ranges("max")
    kernels = {row.tensor for row in scales(quantize_graph(model, ranges, Scheme(), only=["stem.1.conv"]))}
    assert {name for name in kernels if name.endswith(".weight")} == {"stem.1.conv.weight"}
    rest = {row.tensor for row in scales(quantize_graph(model, ranges, Scheme(), exclude=["stem.1.conv"]))}
    assert "stem.1.conv.weight" not in rest
    assert "stem.0.conv.weight" in rest
    assert len(layers(model)) == 23


def test_an_island_holds_the_layer_its_relu_and_who_reads_it(model: onnx.ModelProto) -> None:
    layer = "blocks.1.units.0.pointwise"
    assert with_activation(model, layer) == (layer, "blocks.1.units.1.before.act")
    assert set(float_island(model, layer)) == {layer, "blocks.1.units.1.before.act", "blocks.1.units.1.depthwise"}


def test_a_layer_in_an_island_is_not_quantized_by_the_runtime_itself(blown_up: Bundle, pixels: np.ndarray) -> None:
    """Alone between eight-bit tensors it would be, and optimised and plain execution would part."""
    model = onnx.load(blown_up.main_file)
    ranges, island = observe(model, [pixels]).ranges("max"), float_island(model, "blocks.3.units.0.pointwise")

    def parting(exclude: tuple[str, ...]) -> float:
        graph = quantize_graph(model, ranges, Scheme(), exclude=exclude)
        plain, optimised = (
            exposed_session(graph, [], is_optimized=flag).run(None, {"pixels": pixels})[0] for flag in (False, True)
        )
        return float(np.abs(optimised - plain).max() / np.abs(plain).max())

    assert parting(island) < 0.1
    assert parting(island[:1]) > 0.3


def test_the_table_has_a_line_a_channel(model: onnx.ModelProto, seen: Observation) -> None:
    rows = scales(quantize_graph(model, seen.ranges("max"), Scheme()))
    header, first, *lines = scales_csv(rows).splitlines()
    assert header == "tensor,kind,dtype,channel,scale,zero_point"
    assert first.startswith("pixels,activation,uint8,,")
    assert len(lines) + 1 == sum(len(row.scales) for row in rows)
    assert {row.kind for row in rows} == {"activation", "weight", "bias"}
