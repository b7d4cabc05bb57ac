from xception.quantize.charts import MAX_NAMED, layer_error_chart


def test_the_layers_with_the_largest_errors_are_named() -> None:
    errors = {f"layer{index:02}": index / 100 for index in range(40)}
    svg = layer_error_chart(errors, {"layer39": 0.5}).__html__()
    assert 0 < sum(f">{name}</text>" in svg for name in errors) <= MAX_NAMED
    assert ">layer39</text>" in svg
    assert ">layer38</text>" not in svg
    assert "only this layer in int8" in svg
    assert "only this layer in int8" not in layer_error_chart(errors, {}).__html__()
