import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from xception.errors import UsageError
from xception.litert_graph import LayerWeights, LiteRtGraph, OperationCall, Window


def kinds(pads: tuple[int, ...] | None, *, stride: int, side_px: int, has_free_size: bool) -> list[str]:
    """The operations that a pool of 3 by 3 pixels becomes."""
    graph = LiteRtGraph(has_free_size=has_free_size)
    source, out_px = graph.value("in", (side_px, side_px, 2)), (side_px + 1) // stride
    output = graph.value("out", (out_px, out_px, 2))
    graph.max_pool(OperationCall(name="pool", inputs=[source], output=output), Window(size=3, stride=stride, pads=pads))
    content = graph.file.finish("one pool", {"in": source}, {"out": output})
    return [operation["op_name"] for operation in Interpreter(model_content=content)._get_ops_details()]


@pytest.mark.parametrize(
    ("pads", "stride", "side_px", "has_free_size", "expected"),
    [
        (None, 2, 9, True, ["MAX_POOL_2D"]),
        ((0, 0, 0, 0), 2, 9, True, ["MAX_POOL_2D"]),
        ((1, 1, 1, 1), 1, 9, True, ["MAX_POOL_2D"]),
        ((1, 1, 1, 1), 2, 9, False, ["MAX_POOL_2D"]),
        ((1, 1, 1, 1), 2, 8, False, ["PADV2", "MAX_POOL_2D"]),
        ((1, 1, 1, 1), 2, 9, True, ["PADV2", "MAX_POOL_2D"]),
    ],
)
def test_padding_is_an_operation_of_its_own_only_where_same_is_another_one(
    pads: tuple[int, ...] | None, stride: int, side_px: int, has_free_size: bool, expected: list[str]
) -> None:
    assert kinds(pads, stride=stride, side_px=side_px, has_free_size=has_free_size) == expected


def test_weights_beyond_half_precision_are_refused_by_name() -> None:
    graph = LiteRtGraph()
    call = OperationCall(name="head", inputs=[graph.value("in", (2,))], output=graph.value("out", (1,)))
    weights = LayerWeights(kernel=np.full((1, 2), 1e6), bias=np.zeros(1), is_half=True)
    with pytest.raises(UsageError, match=r"head\.weight has values that float16 cannot hold"):
        graph.dense(call, weights)
