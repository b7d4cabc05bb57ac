"""The names of classes that a training script kept are those of the bundle."""

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.convert.checkpoints import drawn
from xception.convert.conversion import convert_checkpoint
from xception.convert.readers import read_checkpoint
from xception.labels import Labels

NAMES = tuple(f"kind {letter}" for letter in "kjihgfedcba")
INDICES = {name: index for index, name in enumerate(NAMES)}
KEPT = {
    "class_names": list(NAMES),
    "classes": NAMES,
    "class_to_idx": dict(sorted(INDICES.items())),
    "idx_to_class": {index: name for name, index in INDICES.items()},
    "id2label": {str(index): name for name, index in INDICES.items()},
    "labels": np.array(NAMES),
    "categories": np.array(NAMES, dtype=object),
    "meta": {"CLASSES": NAMES},
    "args": argparse.Namespace(class_names=list(NAMES)),
}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in drawn("timm_xception").items()}


@pytest.mark.parametrize("key", KEPT)
def test_names_are_found_in_every_form_that_scripts_keep_them_in(
    key: str, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"state_dict": weights, key: KEPT[key]}, tmp_path / "model.pth")
    conversion = convert_checkpoint(tmp_path / "model.pth")
    assert conversion.labels == Labels(NAMES)
    assert str(conversion.model.lineage[0].settings["labels_of"]).startswith(key)
    named = convert_checkpoint(tmp_path / "model.pth", labels=Labels(tuple("abcdefghijk")))
    assert named.labels.names == tuple("abcdefghijk")
    assert "labels_of" not in named.model.lineage[0].settings


@pytest.mark.parametrize(
    "kept",
    [
        {"classes": set(NAMES)},
        {"classes": frozenset(NAMES)},
        {"classes": list(NAMES[:5])},
        {"classes": list(range(11))},
        {"class_to_idx": {name: index + 1 for name, index in INDICES.items()}},
        {"classes": list(NAMES), "class_names": list(reversed(NAMES))},
    ],
)
def test_what_does_not_name_every_class_for_certain_is_not_taken(
    kept: dict[str, object], weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"state_dict": weights} | kept, tmp_path / "model.pth")
    assert convert_checkpoint(tmp_path / "model.pth").labels.names[0] == "class 0"


@pytest.mark.parametrize("key", ["class_names", "classes"])
def test_a_header_of_safetensors_is_asked_too_and_may_say_anything(key: str, tmp_path: Path) -> None:
    values = {name: np.ascontiguousarray(value) for name, value in drawn("timm_xception").items()}
    save_file(values, tmp_path / "model", metadata={"format": "pt", key: json.dumps(list(NAMES))})
    assert convert_checkpoint(tmp_path / "model").labels == Labels(NAMES)
    for text in ("ant, bee", "[", '{"a": 1}'):
        save_file(
            values, tmp_path / "model", metadata={key: text, "config": text, "model_config": text, "values": text}
        )
        assert convert_checkpoint(tmp_path / "model").labels.names[0] == "class 0"


def test_paddles_checkpoints_are_asked_too(tmp_path: Path) -> None:
    (tmp_path / "model.pdparams").write_bytes(pickle.dumps({"w": np.ones((2, 2)), "class_names": ["ant", "bee"]}, 4))
    rows = read_checkpoint(tmp_path / "model.pdparams").metadata["class_names"]
    assert rows == [{"place": "class_names", "names": ["ant", "bee"], "ids": []}]
