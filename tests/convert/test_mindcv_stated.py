"""A configuration of MindCV next to a checkpoint is built, or refused by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.convert.checkpoints import checkpoint, drawn
from tests.convert.run_configs import MINDCV
from xception.convert.mindcv_stated import mindcv_facts
from xception.convert.readers.run_config import run_config
from xception.convert.statements import stated_facts
from xception.errors import InputError
from xception.preprocess import CenterCrop, ShorterSide


def test_a_configuration_of_mindcv_decides_network_and_images(tmp_path: Path) -> None:
    (tmp_path / "xception_ascend.yaml").write_text(yaml.safe_dump(MINDCV))
    found = run_config(tmp_path / "xception-200.ckpt", "mindspore_ckpt")
    contents = checkpoint(drawn("mindcv_xception"))
    contents.metadata["run_config"] = found
    facts = stated_facts(contents)
    assert (facts.place, facts.num_classes) == ("xception_ascend.yaml next to it", 11)
    assert facts.preprocess is not None
    assert facts.preprocess.resize == ShorterSide(px=256)
    assert facts.preprocess.crop == CenterCrop(width_px=224, height_px=224, offset="floor")
    other = mindcv_facts({**MINDCV, "image_resize": 299, "mean": [127.5] * 3, "std": [51.0] * 3}, "it").preprocess
    assert other is not None
    assert (other.resize, other.mean, other.std) == (ShorterSide(px=341), (0.5,) * 3, (0.2,) * 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet50"}, "the network 'resnet50'"),
        ({"interpolation": "bicubic"}, "the interpolation 'bicubic'"),
        ({"drop_path_rate": 0.1}, "drop_path_rate, which MindCV's xception does not have"),
        ({"crop_pct": "a lot"}, r"what cannot be used: .*crop_pct"),
    ],
)
def test_what_mindcv_states_and_is_not_built_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        mindcv_facts({**MINDCV, **change}, "it")
