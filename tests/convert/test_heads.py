"""Classifiers under other names than their source's are taken by their names, or by the user's word."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.convert.checkpoints import drawn, prefixed, write_safetensors
from tests.convert.training_files import REFUSED, TAKEN, diagnosed, opened
from xception.convert.conversion import convert_checkpoint
from xception.convert.heads import CLASSIFIER_NAME
from xception.convert.selection import WeightsChoice, choose_match
from xception.errors import InputError, UsageError
from xception.models.network import build


@pytest.mark.parametrize("name", TAKEN)
def test_a_linear_layer_in_the_classifier_s_place_is_taken_under_its_own_name(name: str) -> None:
    told = diagnosed(TAKEN[name])
    assert (told.missing, told.unexpected, told.misshapen, told.remedy) == ((), (), (), "")
    assert told.variant
    # The two names that Cadene and FaceForensics gave it are part of timm's scheme.
    assert told.classifier == (
        None if name.startswith("last_linear") else name.partition(" of ")[0].removeprefix("module.")
    )


def test_a_head_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no linear layer body behind .*; those that are there: age, sex$"):
        choose_match(opened(REFUSED["two heads"]), WeightsChoice(head="body"))


def test_the_chosen_head_s_numbers_are_the_classifier_s_and_the_others_are_dropped(tmp_path: Path) -> None:
    own = drawn("timm_xception")
    rng = np.random.default_rng(0)
    extra = {"age.weight": rng.random((5, 256), np.float32), "age.bias": rng.random(5, np.float32)}
    file = write_safetensors(tmp_path / "file", own | extra)
    with pytest.raises(
        InputError, match=r"pass --head fc \(11 classes\) or --head age \(5 classes\); .* pass --leave-out 'age\.\*'"
    ):
        convert_checkpoint(file)
    converted = convert_checkpoint(file, WeightsChoice(head="age"))
    np.testing.assert_array_equal(converted.tensors["head.classifier.weight"], extra["age.weight"])
    np.testing.assert_array_equal(converted.tensors["head.classifier.bias"], extra["age.bias"])
    settings = converted.model.lineage[0].settings
    assert settings["head"] == "age"
    assert settings["dropped"] == "another classifier (fc.bias, fc.weight)"
    kept = convert_checkpoint(file, WeightsChoice(head="fc"))
    np.testing.assert_array_equal(kept.tensors["head.classifier.weight"], own["fc.weight"])
    assert kept.model.lineage[0].settings["dropped"] == "another classifier (age.bias, age.weight)"


def nested(path: Path, parts: dict[str, dict[str, np.ndarray]]) -> Path:
    torch.save({key: {name: torch.tensor(value) for name, value in part.items()} for key, part in parts.items()}, path)
    return path


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_heads_in_dictionaries_of_their_own_belong_to_the_network_next_to_them(wrapper: str, tmp_path: Path) -> None:
    own = drawn("timm_xception")
    backbone = prefixed({name: value for name, value in own.items() if not name.startswith("fc.")}, wrapper)
    head = {name.removeprefix("fc."): value for name, value in own.items() if name.startswith("fc.")}
    one = convert_checkpoint(nested(tmp_path / "one.pth", {"backbone": backbone, "classifier": head}))
    np.testing.assert_array_equal(one.tensors["head.classifier.weight"], own["fc.weight"])
    assert (one.match.classifier.layer, one.model.network.num_classes) == ("classifier", 11)
    sizes = {f"sex.{name}": value[:2] for name, value in head.items()} | prefixed(head, "age.")
    file = nested(tmp_path / "two.pth", {"backbone": backbone, "heads": sizes})
    with pytest.raises(InputError, match=r"--head heads\.sex \(2 classes\) or --head heads\.age \(11 classes\)"):
        convert_checkpoint(file)
    assert convert_checkpoint(file, WeightsChoice(head="heads.sex")).model.network.num_classes == 2


def test_dictionaries_of_anything_else_are_groups_of_their_own(tmp_path: Path) -> None:
    own = drawn("timm_xception")
    other = {"scale.weight": np.ones((3, 2), np.float32)}
    made = convert_checkpoint(nested(tmp_path / "file.pth", {"net": own, "other": other}))
    assert (made.match.group.name, made.match.dropped) == ("net", {})


@pytest.mark.parametrize(
    "name", ["projector", "discriminator.fc", "dense", "dense_1", "head2", "fc.weight", "headless"]
)
def test_a_name_that_does_not_say_classifier_is_not_taken_for_one(name: str) -> None:
    assert not CLASSIFIER_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["fc.1.", "classifier.1.", "net.head."])
def test_the_tensors_are_those_of_the_same_network_under_its_source_s_names(name: str, tmp_path: Path) -> None:
    own = drawn("timm_xception")
    moved = {
        (name + key.removeprefix("fc.") if key.startswith("fc.") else f"net.backbone.{key}"): v
        for key, v in own.items()
    }
    plain = convert_checkpoint(write_safetensors(tmp_path / "plain", own))
    other = convert_checkpoint(
        write_safetensors(tmp_path / "other", moved | {"criterion.weight": np.ones(2, np.float32)})
    )
    assert plain.tensors.keys() == other.tensors.keys()
    assert all(np.array_equal(plain.tensors[key], other.tensors[key]) for key in plain.tensors)


def test_a_classifier_without_a_bias_has_one_of_zeros(tmp_path: Path) -> None:
    own = drawn("timm_xception")
    del own["fc.bias"]
    made = convert_checkpoint(write_safetensors(tmp_path / "file", own))
    np.testing.assert_array_equal(made.tensors["head.classifier.bias"], np.zeros(11, np.float32))
    np.testing.assert_array_equal(made.tensors["head.classifier.weight"], own["fc.weight"])


def two_layers(own: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    """Heads with 6 hidden features and 3 classes, each called by the names of its two layers."""
    rng = np.random.default_rng(1)
    made = {}
    for first, second in (pair.split() for pair in names):
        made |= {f"{first}.weight": rng.normal(size=(6, 256)), f"{first}.bias": rng.normal(size=6)}
        made |= {f"{second}.weight": rng.normal(size=(3, 6)), f"{second}.bias": rng.normal(size=3)}
    body = {name: value for name, value in own.items() if not name.startswith("fc.")}
    return body | {name: value.astype(np.float32) for name, value in made.items()}


@pytest.mark.parametrize(
    ("pair", "head"),
    [
        ("fc.0 fc.3", "fc"),
        ("fc.1 fc.4", "fc.4"),
        ("classifier.fc1 classifier.fc2", "classifier.fc2"),
        ("fc1 fc2", "fc2"),
    ],
)
def test_a_head_of_two_layers_is_taken_by_the_users_word_for_what_is_between(
    pair: str, head: str, tmp_path: Path
) -> None:
    values = two_layers(drawn("timm_xception"), pair)
    file = write_safetensors(tmp_path / "file", values)
    with pytest.raises(
        InputError, match=r"if a ReLU is between its two layers, pass --head \S+ --hidden-activation relu"
    ):
        convert_checkpoint(file)
    with pytest.raises(InputError, match="states nothing of what is between"):
        convert_checkpoint(file, WeightsChoice(head=head))
    made = convert_checkpoint(file, WeightsChoice(head=head, hidden_activation="relu"))
    assert (made.model.network.hidden_features, made.model.network.num_classes) == (6, 3)
    assert made.model.lineage[0].settings["hidden_activation"] == "relu"
    pixels = torch.rand(2, 3, 75, 75, generator=torch.Generator().manual_seed(0))
    network = build(made.model.network.architecture(), made.tensors).eval()
    first, second = pair.split()
    weights = {name: torch.tensor(value) for name, value in values.items()}
    with torch.no_grad():
        hidden = torch.nn.functional.linear(network.embed(pixels), weights[f"{first}.weight"], weights[f"{first}.bias"])
        expected = hidden.relu() @ weights[f"{second}.weight"].T + weights[f"{second}.bias"]
        np.testing.assert_allclose(network(pixels), expected, rtol=1e-4, atol=1e-4)


def test_of_several_heads_with_hidden_layers_one_is_taken_and_the_others_are_dropped(tmp_path: Path) -> None:
    values = two_layers(drawn("timm_xception"), "heads.age.0 heads.age.2", "heads.sex.0 heads.sex.2")
    plain = {"single.weight": np.ones((2, 256), np.float32), "single.bias": np.ones(2, np.float32)}
    file = write_safetensors(tmp_path / "file", values | plain)
    with pytest.raises(InputError, match=r"--head heads\.age --hidden.* or if .*--head heads\.sex --hidden"):
        convert_checkpoint(file)
    made = convert_checkpoint(file, WeightsChoice(head="heads.sex", hidden_activation="relu"))
    np.testing.assert_array_equal(made.tensors["head.hidden.weight"], values["heads.sex.0.weight"])
    assert "heads.age.2.bias" in str(made.model.lineage[0].settings["dropped"])
    single = convert_checkpoint(file, WeightsChoice(head="single"))
    assert (single.model.network.num_classes, single.model.network.hidden_features) == (2, None)


@pytest.mark.parametrize(("first", "second"), [("fc1", "fc2"), ("dense", "fc")])
def test_a_layer_that_may_be_hidden_is_not_dropped_without_a_word(first: str, second: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    body = {name: value for name, value in drawn("timm_xception").items() if not name.startswith("fc.")}
    square = {f"{first}.weight": rng.normal(size=(256, 256)), f"{first}.bias": rng.normal(size=256)}
    last = {f"{second}.weight": rng.normal(size=(3, 256)), f"{second}.bias": rng.normal(size=3)}
    values = body | {name: value.astype(np.float32) for name, value in (square | last).items()}
    file = write_safetensors(tmp_path / "file", values)
    advice = f"{first}, which may be in front of {second}; .*to take {second} by itself, pass --leave-out '{first}"
    with pytest.raises(InputError, match=advice):
        convert_checkpoint(file, WeightsChoice(head=second))
    made = convert_checkpoint(file, WeightsChoice(head=second, leave_out=(f"{first}*",)))
    assert (made.model.network.num_classes, made.model.network.hidden_features) == (3, None)
    if second == "fc2":
        made = convert_checkpoint(file, WeightsChoice(head=second, hidden_activation="relu"))
        assert made.model.network.hidden_features == 256


def test_a_hidden_activation_of_a_plain_classifier_is_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception"))
    with pytest.raises(UsageError, match="has one layer; leave --hidden-activation out"):
        convert_checkpoint(file, WeightsChoice(hidden_activation="relu"))


def test_other_layers_in_a_head_of_two_are_refused(tmp_path: Path) -> None:
    values = two_layers(drawn("timm_xception"), "fc.0 fc.3") | {"fc.1.weight": np.ones(6, np.float32)}
    file = write_safetensors(tmp_path / "file", values)
    with pytest.raises(InputError, match="has no linear layer fc behind the features"):
        convert_checkpoint(file, WeightsChoice(head="fc", hidden_activation="relu"))
