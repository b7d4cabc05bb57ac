import pytest

from xception.bundle import Bundle
from xception.errors import UsageError
from xception.export.program import GraphOptions
from xception.export.request import ExportRequest, check_taken, check_weights, graph_departures


def test_departures_are_the_options_that_differ() -> None:
    assert graph_departures(GraphOptions()) == {}
    assert graph_departures(GraphOptions(opset=11, probabilities=True)) == {"opset": 11, "probabilities": True}


def test_options_without_use_are_named_with_those_of_use() -> None:
    check_taken("onnx", {"a"}, frozenset({"a", "b"}))
    with pytest.raises(UsageError, match="onnx has no --c or --d; it takes --a, --b"):
        check_taken("onnx", {"a", "c", "d"}, frozenset({"a", "b"}))


def test_a_bundle_without_weights_is_refused(onnx_bundle: Bundle, weights_bundle: Bundle) -> None:
    check_weights(weights_bundle)
    with pytest.raises(UsageError, match="export from the bundle of weights"):
        check_weights(onnx_bundle)


def test_a_pack_has_at_least_one_input(weights_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="the pack has 0 inputs; expected at least 1"):
        ExportRequest(bundle=weights_bundle, to="ascend", out=weights_bundle.path, inputs=0)
