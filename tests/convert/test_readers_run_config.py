"""The configuration next to a checkpoint is found among other files, and read within bounds."""

from pathlib import Path

import pytest

from tests.convert.run_configs import MINDCV, PADDLE, changed, paddle_file
from xception.convert.conversion import convert_checkpoint
from xception.convert.readers import read_checkpoint
from xception.convert.readers.run_config import run_config
from xception.errors import InputError


def test_of_several_configurations_the_one_of_the_checkpoints_name_is_taken(tmp_path: Path) -> None:
    other = changed(PADDLE, "Arch", name="Xception65")
    file = paddle_file(tmp_path, PADDLE, other, names=("best_model.yml", "Xception65.yaml"))
    assert convert_checkpoint(file).model.preprocess.output_px == (224, 224)
    (tmp_path / "best_model.yml").rename(tmp_path / "Xception41.yaml")
    with pytest.raises(InputError, match=r"several configurations, Xception41\.yaml, Xception65\.yaml; name the one"):
        read_checkpoint(file)


def test_files_of_others_next_to_a_checkpoint_are_left_alone(tmp_path: Path) -> None:
    file = paddle_file(tmp_path, MINDCV, {"compose": 3}, names=("mindcv.yaml", "docker.yml"))
    (tmp_path / "broken.yaml").write_bytes(b"\xff: [")
    assert "run_config" not in read_checkpoint(file).metadata


def test_a_configuration_that_repeats_itself_without_end_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 2]", *(f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(10))}]" for n in range(1, 9))]
    (tmp_path / "x.yaml").write_text("Arch: {name: Xception41}\n" + "\n".join(lines))
    with pytest.raises(InputError, match=r"no YAML file of plain values: it has more than 20000 values"):
        run_config(paddle_file(tmp_path, names=()), "paddle_pdparams")


@pytest.mark.parametrize("text", ["Arch: [", "Arch: !!python/object/apply:os.system ['true']", "- 1\nArch: x"])
def test_a_configuration_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=r"x\.yaml is no YAML file of plain values"):
        run_config(paddle_file(tmp_path, names=()), "paddle_pdparams")
