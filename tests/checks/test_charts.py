from xception.checks.charts import MAX_CLASSES_NAMED, class_sizes


def test_few_classes_are_named_with_their_images_in_their_order() -> None:
    svg = class_sizes({"wolf": 1200, "husky": 30}).__html__()
    assert svg.index(">wolf</text>") < svg.index(">husky</text>")
    assert ">1,200</text>" in svg
    assert "median" not in svg


def test_many_classes_are_bars_without_names_and_a_median() -> None:
    svg = class_sizes({f"class {number}": 5 + number for number in range(MAX_CLASSES_NAMED + 1)}).__html__()
    assert ">class 0</text>" not in svg
    assert "median, 25" in svg
