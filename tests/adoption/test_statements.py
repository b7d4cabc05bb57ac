import json
from pathlib import Path

import pytest

from xception.adoption.statements import preprocess_of_config, stated_nearby
from xception.errors import InputError


def test_nothing_nearby_states_nothing(tmp_path: Path) -> None:
    assert stated_nearby(tmp_path / "model.onnx", 5) == (None, None)


def test_names_are_taken_where_there_are_as_many(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"label_names": ["a", "b"]}))
    preprocess, labels = stated_nearby(tmp_path / "model.onnx", 2)
    assert (preprocess, labels and labels.names) == (None, ("a", "b"))
    assert stated_nearby(tmp_path / "model.onnx", 3) == (None, None)
    assert stated_nearby(tmp_path / "model.onnx", None) == (None, None)


@pytest.mark.parametrize("content", ["[1]", "nothing", '{"input_size": [3]}'])
def test_a_description_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError):
        stated_nearby(tmp_path / "model.onnx", 2)


def test_a_bundles_description_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as a bundle's description"):
        preprocess_of_config(tmp_path / "model.json")
