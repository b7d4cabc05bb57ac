from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.convert.make_samples import SAMPLES, values, weights
from xception.convert.readers import read_checkpoint


def test_tensors_of_every_type_are_read_and_brain_floats_widened() -> None:
    checkpoint = read_checkpoint(SAMPLES / "torch.safetensors")
    tensors = checkpoint.groups[""]
    assert (checkpoint.container, checkpoint.metadata) == ("safetensors", {"by": "us"})
    for key, expected in weights().items():
        np.testing.assert_array_equal(tensors[key], expected)
    assert tensors["half"].dtype == np.float16
    assert tensors["brain"].dtype == np.float32
    np.testing.assert_array_equal(tensors["brain"], values("brain", (3,)))
    assert (tensors["bn.num_batches_tracked"].shape, tensors["bn.num_batches_tracked"].item()) == ((), 7)


def test_what_the_safetensors_package_writes_is_read(tmp_path: Path) -> None:
    arrays = {code: np.arange(6).reshape(2, 3).astype(code) for code in ("f8", "f4", "f2", "i8", "i1", "u2", "?")}
    save_file(arrays | {"empty": np.zeros((0, 2), "f4")}, tmp_path / "x")
    tensors = read_checkpoint(tmp_path / "x").groups[""]
    for code, expected in arrays.items():
        assert tensors[code].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[code], expected)
    assert tensors["empty"].shape == (0, 2)
