from collections.abc import Sequence
from pathlib import Path

import pytest

from xception.adoption.outline import GraphOutline, GraphPort
from xception.adoption.ports import answer_output, image_input, stated_classes
from xception.errors import InputError, UsageError

Shape = tuple[int | None, ...] | None


def port(name: str = "x", shape: Shape = (None, 3, 8, 8), dtype: str = "float32", **facts: bool) -> GraphPort:
    return GraphPort(name=name, value=name, dtype=dtype, shape=shape, **facts)


def outline(inputs: Sequence[GraphPort] = (), outputs: Sequence[GraphPort] = ()) -> GraphOutline:
    return GraphOutline(
        path=Path("model.onnx"),
        form="onnx",
        producer="a test",
        opset="opset 17",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        operations=(),
        constants={},
        shapes={},
        precision="float32",
        files={},
    )


@pytest.mark.parametrize(
    ("shape", "layout", "channels", "size"),
    [
        ((None, 3, 8, 9), "nchw", 3, (8, 9)),
        ((None, 8, 9, 3), "nhwc", 3, (8, 9)),
        ((None, 1, None, None), "nchw", 1, (None, None)),
        ((4, None, None, 1), "nhwc", 1, (None, None)),
        ((None, 8, None, None), "nhwc", None, (8, None)),
    ],
)
def test_the_channels_tell_the_layout(
    shape: Shape, layout: str, channels: int | None, size: tuple[int | None, int | None]
) -> None:
    found = image_input(outline([port(shape=shape)]), None, None)
    assert (found.layout, found.channels, found.size_px) == (layout, channels, size)


@pytest.mark.parametrize("shape", [None, (None, None, None, None), (1, 3, 8, 3)])
def test_a_layout_that_may_be_either_is_asked_for(shape: Shape) -> None:
    graph = outline([port(shape=shape)])
    with pytest.raises(UsageError, match="channels first or last; say so with --layout nchw or nhwc"):
        image_input(graph, None, None)
    assert image_input(graph, None, "nhwc").layout == "nhwc"


def test_a_layout_that_is_stated_wrongly_is_refused() -> None:
    with pytest.raises(UsageError, match="--layout nhwc makes 9 channels"):
        image_input(outline([port(shape=(None, 3, 8, 9))]), None, "nhwc")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (port(shape=(None, 4, 8, 9)), "neither 1 nor 3 channels"),
        (port(shape=(None, 3, 8)), "which has four axes"),
        (port(dtype="int64"), "expected images as real numbers or in 8 bits"),
        (port(dtype="int8"), "without a scale"),
    ],
)
def test_an_input_that_is_no_image_is_refused(given: GraphPort, words: str) -> None:
    with pytest.raises(InputError, match=words):
        image_input(outline([given]), None, None)


def test_integers_without_a_grid_are_images() -> None:
    assert image_input(outline([port(dtype="uint8")]), None, None).is_image
    assert not image_input(outline([port(dtype="uint8", is_quantized=True)]), None, None).is_image


def test_a_second_input_is_refused_by_name() -> None:
    graph = outline([port(), port("training", (), "bool")])
    with pytest.raises(UsageError, match=r"takes x .*; training .*; choose one with --input NAME"):
        image_input(graph, None, None)
    with pytest.raises(InputError, match=r"it takes training \(bool, \), too"):
        image_input(graph, "x", None)


def test_several_outputs_are_asked_for_by_name() -> None:
    graph = outline(outputs=[port("a", (None, 5)), port("b", (None, 7, 4, 4))])
    with pytest.raises(UsageError, match="choose one with --answers NAME"):
        answer_output(graph, None)
    assert answer_output(graph, "a").name == "a"
    with pytest.raises(UsageError, match=r"no output 'c'; it gives a .*; b "):
        answer_output(graph, "c")
    with pytest.raises(InputError, match="expected one number for each class"):
        answer_output(graph, "b")


def test_class_indices_are_no_answers() -> None:
    with pytest.raises(InputError, match="is no score for each class"):
        answer_output(outline(outputs=[port("a", (None,), "int64")]), None)


@pytest.mark.parametrize(
    ("shape", "batch", "classes"),
    [
        ((None, 5), None, 5),
        ((None, 5, 1, 1), None, 5),
        ((7,), 1, 7),
        ((7, 1), 1, 7),
        ((2, 7), 2, 7),
        ((14,), 2, 7),
        ((None,), None, None),
        ((7,), None, None),
        ((1, None), 1, None),
        (None, 1, None),
    ],
)
def test_the_shape_tells_the_classes(shape: Shape, batch: int | None, classes: int | None) -> None:
    assert stated_classes(port(shape=shape), batch) == classes


def test_a_graph_without_ports_is_refused() -> None:
    with pytest.raises(InputError, match="it has no input"):
        image_input(outline(), None, None)
