from pathlib import Path

import numpy as np
import pytest

from tests.support.samples import encoded, picture
from xception.bundle import Bundle
from xception.errors import InputError
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Failure
from xception.pipeline.prediction import Prediction
from xception.tasks.predict import predict


def test_a_bundle_is_named_and_images_are_given_in_any_form(onnx_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    images = [str(tmp_path / "a.png"), tmp_path / "a.png", encoded(picture()), picture(), np.asarray(picture())]
    outcomes = predict(str(onnx_bundle.path), images, top=2)
    assert all(isinstance(outcome, Prediction) and outcome.top == outcomes[0].top for outcome in outcomes)
    assert [outcome.path for outcome in outcomes if isinstance(outcome, Prediction)] == [
        str(tmp_path / "a.png"),
        str(tmp_path / "a.png"),
        "image",
        "image",
        "image",
    ]


def test_a_folder_stands_for_its_images(onnx_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(picture()))
    (tmp_path / "c.png").write_bytes(b"broken")
    outcomes = predict(onnx_bundle, str(tmp_path))
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [False, False, True]


def test_a_single_image_need_not_be_in_a_list(onnx_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    with Engine.open(onnx_bundle) as engine:
        for image in (
            str(tmp_path / "a.png"),
            tmp_path / "a.png",
            encoded(picture()),
            picture(),
            np.asarray(picture()),
        ):
            (outcome,) = engine.predict(image)
            assert isinstance(outcome, Prediction)
        assert len(list(engine.predict(np.stack([np.asarray(picture(seed=seed)) for seed in range(3)])))) == 3


def test_the_answers_are_the_engines(onnx_bundle: Bundle) -> None:
    pictures = [picture(seed=index) for index in range(9)]
    with Engine.open(onnx_bundle) as engine:
        expected = list(engine.predict(pictures, max_wait_s=None))
    assert predict(onnx_bundle, pictures) == expected


def test_something_that_is_no_image_is_refused(onnx_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="int is no image; expected a path"):
        predict(onnx_bundle, [3])
    with pytest.raises(InputError, match="does not exist"):
        predict(onnx_bundle, "nowhere.png")
