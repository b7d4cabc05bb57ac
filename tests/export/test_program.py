from typing import Any

import numpy as np
import pytest

from tests.support.samples import drawn_tensors
from xception.arch.graph import Conv
from xception.arch.variants import architecture
from xception.errors import UsageError
from xception.export.program import GraphOptions, Program, program
from xception.preprocess import CenterCrop, Preprocess

CROP = CenterCrop(width_px=40, height_px=32)


def made(name: str = "keras_xception", preprocess: Preprocess | None = None, **options: Any) -> Program:
    spec = architecture(name, width=0.05, num_classes=6, in_channels=3)
    return program(spec, drawn_tensors(spec), preprocess or Preprocess(crop=CROP), GraphOptions(**options))


def test_the_plain_form_is_the_folded_network() -> None:
    plain = made()
    assert (plain.graph.input_name, plain.graph.input_shape) == ("pixels", (None, 3, 32, 40))
    assert [(output.name, output.value) for output in plain.outputs] == [("logits", plain.nodes[-1].name)]
    assert plain.size_px == (32, 40)


def test_a_free_size_is_shown_by_the_published_one() -> None:
    free = made(free_size=True)
    assert free.graph.input_shape == (None, 3, None, None)
    assert free.size_px == (299, 299)


def test_every_value_has_a_shape() -> None:
    full = made(image_input=True, probabilities=True, top_k=2, class_maps=True)
    shapes = full.shapes()
    assert shapes["image"] == (32, 40, 3)
    assert shapes["pixels"] == (3, 32, 40)
    assert [shapes[output.value] for output in full.outputs] == [(6,), (2,), (2,), (6, 1, 2)]
    assert {node.source for node in full.nodes} <= set(shapes)


def test_class_maps_are_the_classifier_at_every_position() -> None:
    dense, convolutional = made(class_maps=True), made("mini_xception", class_maps=True)
    node = dense.nodes[-1]
    assert isinstance(node, Conv)
    assert np.array_equal(dense.tensors[f"{node.name}.weight"][:, :, 0, 0], dense.tensors["head.classifier.weight"])
    # There the maps are what is averaged; nothing is added.
    assert convolutional.nodes == made("mini_xception").nodes
    assert convolutional.outputs[-1].value == "head.classifier"


def test_normalisation_inside_is_that_of_the_preprocessing() -> None:
    preprocess = Preprocess(crop=CROP, divisor=127.5, mean=(1.0, 0.9, 0.8), std=(1.0, 2.0, 0.5))
    tensors = made(preprocess=preprocess, image_input=True).tensors
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, 0)
    ours = images * tensors["pixels.factor"][:, None, None] + tensors["pixels.shift"][:, None, None]
    np.testing.assert_allclose(ours, preprocess.normalize(images), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed_batch": 0}, "the fixed batch is 0 images; expected 1 to 1024"),
        ({"fixed_batch": 100_000}, "the fixed batch is 100000 images; expected 1 to 1024"),
        ({"top_k": 7}, "the 7 best of 6 classes do not exist; expected 1 to 6"),
        ({"top_k": 0}, "the 0 best"),
        ({"input_name": "x", "output_name": "x"}, "the names 'x', 'x' of inputs and outputs are not distinct"),
        ({"input_name": "head.pool"}, "name something inside"),
        ({"input_name": "pixels", "image_input": True}, "name something inside"),
        ({"input_name": " "}, "choose others"),
    ],
)
def test_options_without_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(**options)


def test_images_of_other_channels_than_the_network_are_not_normalised_inside() -> None:
    gray = Preprocess(color="gray", crop=CROP, mean=(0.5,), std=(0.5,))
    with pytest.raises(UsageError, match="images of 1 channels do not fit a network of 3"):
        made(preprocess=gray, image_input=True)


def test_a_graph_of_eight_bit_images_cannot_be_given_the_fractions_that_a_preprocessing_keeps() -> None:
    with pytest.raises(UsageError, match="8-bit images have no fractions"):
        made(preprocess=Preprocess(crop=CROP, fractions=True), image_input=True)
    made(preprocess=Preprocess(crop=CROP, fractions=True))


def test_without_a_fixed_size_only_a_free_one_will_do() -> None:
    with pytest.raises(UsageError, match="fixes no input size"):
        made(preprocess=Preprocess())
    made(preprocess=Preprocess(), free_size=True)
