from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.conftest import NETWORK
from tests.convert.checkpoints import drawn, write_keras
from tests.support.samples import CLASSES, picture
from tests.train.samples import stop_at
from xception.arch.variants import architecture
from xception.bundle import GOLDENS, Bundle, write_bundle
from xception.errors import InputError, UsageError
from xception.goldens import read_goldens
from xception.labels import Labels
from xception.models.network import Xception, build
from xception.train.finetune import open_parent, set_learning, starting_tensors
from xception.train.recipe import Recipe, load_recipe
from xception.train.settings import FreezeSettings
from xception.train.trainer import train_network
from xception.weights import read_weights, weights_bytes

HEAD = ("head.classifier.weight", "head.classifier.bias")


def toml(tmp_path: Path, model: str, more: str = "") -> str:
    path = tmp_path / "mine.toml"
    path.write_text(f'epochs = 1\n[model]\n{model}\n[data]\nsource = "digits"\n{more}')
    return str(path)


def test_network_and_preprocessing_come_from_the_bundle(weights_bundle: Bundle, tmp_path: Path) -> None:
    recipe = load_recipe(toml(tmp_path, f'start = "{weights_bundle.path}"'))
    assert (recipe.model.variant, recipe.model.width) == (NETWORK.variant, NETWORK.width)
    assert recipe.preprocess == weights_bundle.model.preprocess
    assert recipe.model.parent == weights_bundle.model.digest
    parent = open_parent(recipe.model)
    assert parent == weights_bundle


def test_a_checkpoint_is_started_from_as_its_bundle_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = write_keras(tmp_path / "faces.h5", drawn("mini_xception", width=0.5))
    recipe = load_recipe(toml(tmp_path, f'start = "{file}"'))
    parent = open_parent(recipe.model)
    assert parent is not None
    assert (parent.model.name, parent.model.digest) == ("faces", recipe.model.parent)


def test_what_the_recipe_states_of_preprocessing_goes_before(weights_bundle: Bundle, tmp_path: Path) -> None:
    name = toml(tmp_path, f'start = "{weights_bundle.path}"')
    gray = load_recipe(name, ["preprocess.color=gray", "preprocess.interpolation=nearest"]).preprocess
    own = weights_bundle.model.preprocess
    assert (gray.color, gray.mean, gray.std, gray.interpolation) == ("gray", own.mean[:1], own.std[:1], "nearest")
    assert (gray.resize, gray.crop) == (own.resize, own.crop)


def test_a_recipe_without_a_start_is_as_it_was(tmp_path: Path) -> None:
    recipe = load_recipe("digits")
    assert (recipe.model.start, recipe.model.parent, open_parent(recipe.model)) == (None, None, None)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ('start = ""', "pass --from MODEL"),
        ('variant = "timm_xception"\nstart = "{weights}"', "model.variant is timm_xception, and .* mini_xception"),
        ('width = 1.0\nstart = "{weights}"', r"model\.width is 1\.0, and .* network of width 0\.5"),
        ('start = "{onnx}"', r"is a graph \(onnx\), which cannot be trained; expected a bundle of weights"),
        ("start = 3", "model.start is 3; expected"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(
    model: str, message: str, weights_bundle: Bundle, onnx_bundle: Bundle, tmp_path: Path
) -> None:
    model = model.replace("{weights}", str(weights_bundle.path)).replace("{onnx}", str(onnx_bundle.path))
    with pytest.raises(UsageError, match=message):
        load_recipe(toml(tmp_path, model))


def test_a_start_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist; expected a bundle"):
        load_recipe(toml(tmp_path, 'start = "nowhere"'))


def test_a_start_that_changed_since_is_refused(weights_bundle: Bundle, tmp_path: Path) -> None:
    recipe = load_recipe(toml(tmp_path, f'start = "{weights_bundle.path}"'))
    other = msgspec.structs.replace(recipe.model, parent="0" * 64)
    with pytest.raises(InputError, match=r"is not the bundle that this recipe starts from .*expected digest 000"):
        open_parent(other)


def test_a_classifier_keeps_the_classes_that_it_knows_and_else_starts_anew(weights_bundle: Bundle) -> None:
    own = read_weights(weights_bundle.main_file)
    some = starting_tensors(weights_bundle, 3, ("fox", "ant"))
    other = starting_tensors(weights_bundle, 3, ("fox", "ant", "yak", *CLASSES))
    for name in HEAD:
        assert np.array_equal(some[name], own[name][[CLASSES.index("fox"), CLASSES.index("ant")]])
        assert other[name].shape == (10, *own[name].shape[1:])
        assert not other[name].any()
    rest = own.keys() - set(HEAD)
    assert all(np.array_equal(other[name], own[name]) and np.array_equal(some[name], own[name]) for name in rest)


def test_a_gray_image_gives_what_its_copy_in_three_channels_gave(weights_bundle: Bundle) -> None:
    spec = NETWORK.architecture()
    colour = build(spec, read_weights(weights_bundle.main_file)).eval()
    one = msgspec.structs.replace(NETWORK, in_channels=1).architecture()
    gray = build(one, starting_tensors(weights_bundle, 1, CLASSES)).eval()
    pixels = torch.from_numpy(np.array(picture(32, 32, mode="L"), np.float32))[None, None] / 128 - 1
    with torch.no_grad():
        torch.testing.assert_close(gray(pixels), colour(pixels.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def tuned(recipe: Recipe, parent: Bundle, **changes: object) -> Recipe:
    model = msgspec.structs.replace(
        recipe.model, start=str(parent.path), parent=parent.model.digest, width=parent.model.network.width
    )
    return msgspec.structs.replace(recipe, model=model, epochs=1, **changes)


def test_training_starts_from_the_parents_weights_and_its_history(
    recipe: Recipe, weights_bundle: Bundle, tmp_path: Path
) -> None:
    still = msgspec.structs.replace(recipe.optim, lr=1e-12, weight_decay=0)
    made = train_network(tuned(recipe, weights_bundle, optim=still), out=tmp_path / "run")
    own, result = read_weights(weights_bundle.main_file), read_weights(made.main_file)
    learned = [name for name in own if "running" not in name]
    assert all(np.allclose(result[name], own[name], atol=1e-6) for name in learned)
    assert made.model.lineage[-1].parent == weights_bundle.model.digest
    assert made.model.lineage[:-1] == weights_bundle.model.lineage


def test_the_goldens_images_are_those_of_the_parent(recipe: Recipe, weights_bundle: Bundle, tmp_path: Path) -> None:
    image = np.full((5, 6, 3), 7, np.uint8)
    values = {"0.image": image, "0.pixels": np.zeros((3, 32, 32), np.float32), "0.logits": np.zeros(7, np.float32)}
    files = {"weights.safetensors": weights_bundle.main_file, GOLDENS: weights_bytes(values)}
    parent = write_bundle(tmp_path / "parent", weights_bundle.model, weights_bundle.labels, files)
    (golden,) = read_goldens(train_network(tuned(recipe, parent), out=tmp_path / "run"))
    assert np.array_equal(golden.image, image)
    assert golden.logits.any()


def test_other_classes_are_learned_from_a_bundle(recipe: Recipe, weights_bundle: Bundle, tmp_path: Path) -> None:
    renamed = write_bundle(
        tmp_path / "parent",
        weights_bundle.model,
        Labels(tuple(f"other {name}" for name in CLASSES)),
        {"weights.safetensors": weights_bundle.main_file},
    )
    made = train_network(tuned(recipe, renamed), out=tmp_path / "run")
    assert made.labels.names == CLASSES
    assert read_weights(made.main_file)[HEAD[0]].any()


STAGED = FreezeSettings(entry_until=3, middle_until=2, exit_until=1)


@pytest.fixture
def network() -> Xception:
    return build(architecture("timm_xception", width=0.05))


def learning(network: Xception) -> set[str]:
    flows = {f"blocks.{index}": block.flow for index, block in enumerate(network.spec.blocks)}
    parts = {".".join(name.split(".")[:2]) for name, value in network.named_parameters() if value.requires_grad}
    return {flows.get(part, part.split(".")[0]) for part in parts}


def test_flows_begin_to_learn_epoch_by_epoch_from_the_head_down(network: Xception) -> None:
    expected = [{"head"}, {"head", "exit"}, {"head", "exit", "middle"}, {"head", "exit", "middle", "entry", "stem"}]
    for epoch, parts in enumerate(expected):
        set_learning(network, STAGED, epoch)
        assert learning(network) == parts
    set_learning(network, FreezeSettings(), 0)
    assert learning(network) == expected[-1]
    assert all(module.training for module in network.modules())


def test_what_does_not_learn_is_the_function_that_it_was(network: Xception) -> None:
    pixels = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        set_learning(network, STAGED, 0)
        frozen = network.feature_map(pixels)
        assert torch.equal(frozen, network.eval().feature_map(pixels))
        set_learning(network, STAGED, 3)
        assert not torch.equal(frozen, network.feature_map(pixels))


def test_statistics_can_stay_as_they_are_while_all_else_learns(network: Xception) -> None:
    before = network.tensors()
    set_learning(network, FreezeSettings(norm_statistics=True), 0)
    network(torch.randn(4, 3, 64, 64)).sum().backward()
    assert all(np.array_equal(value, before[name]) for name, value in network.tensors().items())
    assert all(parameter.grad is not None for parameter in network.parameters())
    set_learning(network, FreezeSettings(), 0)
    network(torch.randn(4, 3, 64, 64))
    assert any(not np.array_equal(value, before[name]) for name, value in network.tensors().items())


def test_a_staged_run_changes_what_learns_and_resumes_to_the_same_bits(recipe: Recipe, tmp_path: Path) -> None:
    staged = msgspec.structs.replace(recipe, freeze=FreezeSettings(entry_until=2, middle_until=1))
    with pytest.raises(KeyboardInterrupt):
        train_network(staged, out=tmp_path / "cut", callbacks=[stop_at(7)])
    resumed = train_network(staged, out=tmp_path / "cut", resume=True)
    whole = train_network(staged, out=tmp_path / "whole")
    assert resumed.main_file.read_bytes() == whole.main_file.read_bytes()
    frozen = msgspec.structs.replace(recipe, freeze=FreezeSettings(entry_until=3))
    assert train_network(frozen, out=tmp_path / "frozen").main_file.read_bytes() != whole.main_file.read_bytes()
