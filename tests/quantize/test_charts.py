from xception.intervals import Interval
from xception.quantize.charts import MAX_NAMED, layer_error_chart, method_differences


def test_the_layers_with_the_largest_errors_are_named() -> None:
    errors = {f"layer{index:02}": index / 100 for index in range(40)}
    svg = layer_error_chart(errors, {"layer39": 0.5}).__html__()
    assert 0 < sum(f">{name}</text>" in svg for name in errors) <= MAX_NAMED
    assert ">layer39</text>" in svg
    assert ">layer38</text>" not in svg
    assert "only this layer in int8" in svg
    assert "only this layer in int8" not in layer_error_chart(errors, {}).__html__()


def test_each_method_has_its_change_and_the_gate_is_marked() -> None:
    changes = {"max": Interval(value=-0.03, low=-0.05, high=-0.01), "mse": Interval(value=0.0, low=-0.01, high=0.01)}
    svg = method_differences(changes, 0.005).__html__()
    assert all(f">{name}</text>" in svg for name in (*changes, "largest loss that passes"))
    assert "float32" in svg
