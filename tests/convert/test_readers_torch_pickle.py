from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.convert.make_samples import SAMPLES, values, weights
from xception.convert.readers import read_checkpoint
from xception.errors import InputError


class Interpolation(Enum):
    BICUBIC = "bicubic"


@dataclass
class Settings:
    rate: float

    def __reduce__(self) -> tuple[type, tuple[float]]:
        return Settings, (self.rate,)


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_legacy.pth"])
def test_a_state_dict_is_read_in_order_with_every_type_and_stride(name: str) -> None:
    checkpoint = read_checkpoint(SAMPLES / name)
    tensors = checkpoint.groups[""]
    assert checkpoint.container == name.removesuffix(".pth")
    assert list(tensors) == [*weights(), "half", "brain", "bn.num_batches_tracked"]
    for key, expected in weights().items():
        np.testing.assert_array_equal(tensors[key], expected)
    assert tensors["half"].dtype == np.float16
    np.testing.assert_array_equal(tensors["half"], values("half", (3,)))
    assert tensors["brain"].dtype == np.float32
    np.testing.assert_array_equal(tensors["brain"], values("brain", (3,)))
    assert (tensors["bn.num_batches_tracked"].shape, tensors["bn.num_batches_tracked"].item()) == ((), 7)


def test_a_training_state_has_a_group_for_each_network_and_the_optimizer_is_left_out() -> None:
    checkpoint = read_checkpoint(SAMPLES / "torch_trainer.pth.tar")
    assert {group: len(tensors) for group, tensors in checkpoint.groups.items()} == {
        "state_dict": 2,
        "state_dict_ema": 6,
    }
    assert checkpoint.metadata == {
        "values": {"epoch": 3, "arch": "xception", "best": 0.5, "args": {"lr": 0.1}},
        "left_out": ["optimizer", "classes"],
        "classes_passed_over": ["argparse.Namespace"],
    }


def test_what_trainers_like_to_keep_does_not_stand_in_the_way(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    extras = {
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2]).state_dict(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "random": np.random.RandomState(0).get_state(),
        "torch_random": torch.get_rng_state(),
        "best": torch.tensor(79.0),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "path": Path("a/b"),
        "when": datetime(2024, 1, 1),
        "history": defaultdict(list, loss=[0.5, 0.25]),
        "activation": torch.nn.functional.relu,
        "size": torch.Size([1, 2]),
        "generator": np.random.default_rng(0),
        "interpolation": Interpolation.BICUBIC,
        "settings": Settings(rate=0.5),
        "stages": {"fit", "test"},
        "texts": np.array(["ant", "bee"]),
        "price": Decimal("1.5"),
        "day": date(2024, 1, 1),
        "loader": partial(sorted, reverse=True),
        "rows": slice(1, 2),
    }
    torch.save({"model": model.state_dict()} | extras, tmp_path / "model.pth")
    checkpoint = read_checkpoint(tmp_path / "model.pth")
    assert list(checkpoint.groups) == ["model"]
    assert checkpoint.metadata["left_out"] == list(extras)


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_torch_itself_reads_is_equal_for_every_type(is_zip: bool, tmp_path: Path) -> None:
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    kinds += [torch.int8, torch.uint8, torch.bool]
    storage = torch.arange(-60, 60)
    state = {str(kind): storage.to(kind).reshape(2, 3, 4, 5) for kind in kinds}
    state["channels last"] = torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state["slice"] = storage[10:100:7]
    state["empty"] = torch.empty(0, 3)
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    torch.save(state, tmp_path / "model.pth", _use_new_zipfile_serialization=is_zip)
    tensors = read_checkpoint(tmp_path / "model.pth").groups[""]
    for key, tensor in state.items():
        expected = tensor.detach().float().numpy() if tensor.dtype == torch.bfloat16 else tensor.detach().numpy()
        assert tensors[key].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[key], expected, err_msg=key)


def test_the_arrays_cannot_be_written_to() -> None:
    for tensor in read_checkpoint(SAMPLES / "torch_zip.pth").groups[""].values():
        assert not tensor.flags.writeable


def test_checksums_that_torch_was_told_to_leave_out_are_not_missed(tmp_path: Path) -> None:
    computes = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(2)}, tmp_path / "model.pth")
    finally:
        torch.serialization.set_crc32_options(computes)
    assert read_checkpoint(tmp_path / "model.pth").groups[""]["a"].tolist() == [1, 1]


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path: Path) -> None:
    content = bytearray((SAMPLES / "torch_zip.pth").read_bytes())
    content[content.index(weights()["conv.weight"].tobytes())] ^= 1
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(InputError, match="checksum of its part 'torch_zip/data/0' does not fit"):
        read_checkpoint(tmp_path / "model.pth")


def test_a_whole_network_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"holds a torch.nn.modules.linear.Linear, .* save the model's") as refusal:
        read_checkpoint(tmp_path / "model.pth")
    follow(refusal.value, tmp_path)


STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}


@pytest.mark.parametrize(
    ("saved", "groups"),
    [
        ({"model": {"state_dict": STATE, "epoch": 3}}, ["model/state_dict"]),
        ({"model": {"state_dict": STATE}, "metrics": {"acc": torch.tensor(0.9)}}, ["model/state_dict"]),
        ({"run": {"student": {"net": STATE, "optimizer": {"moments": STATE}}}}, ["run/student/net"]),
        ([STATE, {"lr": 0.1}], ["0"]),
        ((STATE, {"moments": torch.ones(2)}, 3), ["0", "1"]),
        ({"nets": [STATE, STATE]}, ["nets/0", "nets/1"]),
        (STATE | {"metrics": {"acc": torch.tensor(0.9)}}, [""]),
        ({"state_dict": STATE, "history": {"best": {"weights": STATE}}}, ["state_dict"]),
    ],
)
def test_state_dicts_are_found_some_levels_deep(saved: object, groups: list[str], tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "model.pth")
    found = read_checkpoint(tmp_path / "model.pth").groups
    assert list(found) == groups
    assert list(found[groups[0]]) == list(STATE)


def test_a_whole_network_in_a_dictionary_is_refused_with_the_line_that_saves_it(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": torch.nn.Linear(1, 1)}, tmp_path / "model.pth")
    with pytest.raises(
        InputError, match=r"'model' is a torch\.nn\.modules\.linear\.Linear; save the model's"
    ) as refusal:
        read_checkpoint(tmp_path / "model.pth")
    follow(refusal.value, tmp_path)


def follow(refusal: InputError, folder: Path) -> None:
    """Run the line in a refusal, and read what it saves."""
    line = str(refusal).rpartition("this line does it: ")[2]
    line = line.replace('"FILE"', repr(str(folder / "model.pth"))).replace(
        '"weights.pth"', repr(str(folder / "new.pth"))
    )
    exec(line, {"torch": torch})
    assert list(read_checkpoint(folder / "new.pth").groups[""]) == ["weight", "bias"]


def test_a_type_that_no_weight_here_has_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, dtype=torch.complex64)}, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"unknown type 'torch.ComplexFloatStorage'"):
        read_checkpoint(tmp_path / "model.pth")


def test_more_dictionaries_than_any_training_state_has_are_refused(tmp_path: Path) -> None:
    torch.save({str(i): {"a": torch.ones(1)} for i in range(65)}, tmp_path / "model.pth")
    with pytest.raises(InputError, match="more than 64 dictionaries"):
        read_checkpoint(tmp_path / "model.pth")


def test_a_state_dict_that_python_2_wrote_is_read(tmp_path: Path) -> None:
    """An ordered dictionary was made of a list of pairs then; the bytes below are what Python 3 writes, rearranged."""
    torch.save({"a": torch.ones(2)}, tmp_path / "model.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "model.pth").read_bytes()
    start = content.index(b"X\x01\x00\x00\x00a")
    end = content.index(b"s.", start)
    head = content.rindex(b"}", 0, start)
    pair = content[start:end]
    ordered = b"ccollections\nOrderedDict\n](" + pair + b"\x86e\x85R."
    (tmp_path / "python2.pth").write_bytes(content[:head] + ordered + content[end + 2 :])
    assert read_checkpoint(tmp_path / "python2.pth").groups[""]["a"].tolist() == [1, 1]
