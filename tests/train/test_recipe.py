from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from tests.support.samples import CLASSES, write_folder
from tests.train.samples import small_recipe
from xception.arch.variants import VARIANTS, architecture
from xception.bundle import Bundle
from xception.convert.defaults import default_preprocess
from xception.errors import InputError, UnknownName, UsageError
from xception.preprocess import Preprocess, ShorterSide, Squash
from xception.train.recipe import CONTINUING, Recipe, load_recipe, shipped
from xception.train.settings import ModelSettings, OptimSettings
from xception.train.trainer import train_network

RECIPE = """
epochs = 2
[model]
variant = "mini_xception"
[data]
source = "digits"
[preprocess]
color = "gray"
mean = [0.5]
std = [0.5]
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "mine.toml").write_text(RECIPE)
    return str(tmp_path / "mine.toml")


def test_there_is_a_shipped_recipe() -> None:
    assert "digits" in shipped()


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_is_valid_and_names_a_variant(name: str, weights_bundle: Bundle) -> None:
    changes = [f"model.start={weights_bundle.path}"] if name in CONTINUING else []
    recipe = load_recipe(name, changes)
    assert recipe.model.variant in VARIANTS
    assert recipe.preprocess.output_px
    assert load_recipe(str(shipped()[name]), changes) == recipe


def test_what_a_file_does_not_say_is_the_default(path: str) -> None:
    recipe = load_recipe(path)
    assert (recipe.epochs, recipe.batch_size, recipe.seed) == (2, 64, 0)
    assert (recipe.optim.name, recipe.schedule.name, recipe.augment.flip) == ("sgd", "cosine", False)


@pytest.mark.parametrize(
    ("change", "get", "value"),
    [
        ("optim.lr=0.25", lambda recipe: recipe.optim.lr, 0.25),
        ("optim.name=adamw", lambda recipe: recipe.optim.name, "adamw"),
        ('data.source = "photos:train"', lambda recipe: recipe.data.source, "photos:train"),
        ("data.source=/data/my photos", lambda recipe: recipe.data.source, "/data/my photos"),
        ("seed=-3", lambda recipe: recipe.seed, -3),
        ("augment.flip=true", lambda recipe: recipe.augment.flip, True),
        ("preprocess.mean=[0.25]", lambda recipe: recipe.preprocess.mean, (0.25,)),
        ("model.width=0.5", lambda recipe: recipe.model.width, 0.5),
    ],
)
def test_a_change_sets_what_it_names(path: str, change: str, get: object, value: object) -> None:
    assert get(load_recipe(path, [change])) == value
    assert load_recipe(path, [change]) != load_recipe(path)
    is_place = change.startswith("data.source")
    assert (load_recipe(path, [change]).digest == load_recipe(path).digest) == is_place


def test_an_empty_value_takes_the_default_back(path: str) -> None:
    assert load_recipe(path, ["optim.lr=5", "stop_after=3", "optim.lr=", "stop_after= "]) == load_recipe(path)
    assert load_recipe("modern", ["average="]).average is None


def test_later_changes_win(path: str) -> None:
    assert load_recipe(path, ["epochs=5", "epochs=7"]).epochs == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optim.lrr=0.1", r"unknown key 'lrr' .*; did you mean optim[.]lr"),
        ("optimizer.lr=0.1", r"unknown key 'optimizer'.*; did you mean optim"),
        ("zzzzzz=1", r"unknown key 'zzzzzz'"),
        ("optim.lr=-0.1", r"mine\.toml: optim\.lr is -0\.1; expected `float` > 0\.0"),
        ("optim.lr=0", r"optim\.lr is 0; expected"),
        ("optim.weight_decay=-1", r"optim\.weight_decay is -1; expected"),
        ("optim.lr=fast", r"optim\.lr is 'fast'; expected `float`, got `str`"),
        ("optim.betas=[0.9, 2]", r"optim\.betas\[1\] is 2; expected `float` < 1\.0"),
        ("optim.name=adamv", r"unknown optim.name 'adamv'; did you mean adam"),
        ("loss.name=cross_entrpy", r"unknown loss.name 'cross_entrpy'; did you mean cross_entropy"),
        ("schedule.name=liner", r"unknown schedule.name 'liner'; did you mean linear"),
        ("preprocess.color=grey", r"unknown preprocess.color 'grey'; did you mean gray"),
        ("augment.policy=randaug", r"unknown augment.policy 'randaug'; did you mean randaugment"),
        ("loss.class_weights=balancd", r"unknown loss.class_weights 'balancd'; did you mean balanced"),
        ("schedule.name=staged", r"needs schedule.every_epochs or schedule.every_images, one of them"),
        ("schedule.patience=3", r"schedule.patience does nothing for cosine; .* schedule.name plateau"),
        ("augment.magnitude=3", r"augment.magnitude does nothing without augment.policy 'randaugment'"),
        ("augment.crop_ratio=[1, 2]", r"augment.crop_ratio does nothing without augment.crop_scale"),
        ("epochs=0", r"epochs is 0; expected"),
        ("epochs=1.5", r"epochs is 1\.5; expected"),
        ("seed=99999999999999999999", r"seed is 99999999999999999999; expected"),
        ("batch_size=0", r"batch_size is 0; expected"),
        ("loss.label_smoothing=1.0", r"loss\.label_smoothing is 1\.0; expected"),
        ("augment.zoom=1.0", r"augment\.zoom is 1\.0; expected"),
        ("model.width=0", r"model\.width is 0; expected"),
        ("model.norm_momentum=1.5", r"model\.norm_momentum is 1\.5; expected"),
        ("model=mini_xception", r"model is 'mini_xception'; expected `object`, got `str`"),
        ("preprocess.mean=[0.5,0.5]", r"2 means and 1 deviations"),
        ("optim.lr", r"has no value; expected key=value"),
        ("=", r"has no name; expected key=value"),
        ("optim.=1", r"has no name; expected key=value"),
        ("epochs.lr=1", r"'epochs' is a value, not a group of settings"),
    ],
)
def test_a_wrong_change_is_refused_where_it_is_wrong(path: str, change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(path, [change])


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("epochs = 1\n")
    with pytest.raises(UsageError, match="missing required field `model`"):
        load_recipe(str(tmp_path / "r.toml"))


def test_images_cannot_grow_that_have_no_size() -> None:
    changes = ["preprocess.resize=", "preprocess.crop=", "progressive=[{until=2, size=0.5}]"]
    with pytest.raises(UsageError, match="needs a network input of one size"):
        load_recipe("cifar10", changes)
    assert load_recipe("cifar10", [*changes[:2], "progressive="]).preprocess.output_px is None


@pytest.mark.parametrize("ends", [(2, 2), (3, 1)])
def test_stages_of_growing_images_follow_one_another(ends: tuple[int, int]) -> None:
    first, second = ("{" + f"until={end}, size=0.5" + "}" for end in ends)
    with pytest.raises(UsageError, match="expected each later than the last"):
        load_recipe("cifar10", [f"progressive=[{first}, {second}]"])


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown recipe 'digit'; did you mean digits"):
        load_recipe("digit")


@pytest.mark.parametrize("content", [b"epochs = = 1", b"\xff\xfe\x00", b"["])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"r\.toml is (not TOML|no text, and so no recipe)"):
        load_recipe(str(tmp_path / "r.toml"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_recipe_is_read_as_programs_of_windows_write_it(tmp_path: Path, encoding: str) -> None:
    shipped = files("xception").joinpath("recipes/digits.toml").read_text(encoding="utf-8")
    (tmp_path / "r.toml").write_bytes(shipped.replace("\n", "\r\n").encode(encoding))
    assert load_recipe(str(tmp_path / "r.toml")) == load_recipe("digits")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the recipe"):
        load_recipe(str(tmp_path / "none.toml"))


def test_equal_recipes_have_equal_digests(path: str) -> None:
    assert load_recipe(path).digest == load_recipe(path, ["epochs=2"]).digest


def test_training_may_use_another_momentum_and_drop_rate() -> None:
    spec = architecture("mini_xception")
    trained = ModelSettings(variant="mini_xception", drop_rate=0.3, norm_momentum=0.1).trained(spec)
    assert (trained.norm.momentum, trained.norm.epsilon, trained.head.drop_rate) == (0.1, spec.norm.epsilon, 0.3)
    assert ModelSettings(variant="mini_xception").trained(spec) == spec


def test_without_preprocessing_a_recipe_has_its_networks_own(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('epochs = 1\n[model]\nvariant = "ppcls_xception41"\n[data]\nsource = "digits"\n')
    own = default_preprocess(architecture("ppcls_xception41"))
    assert load_recipe(str(path)).preprocess == own
    changed = load_recipe(str(path), ["preprocess.interpolation=bicubic", "preprocess.antialias=true"]).preprocess
    assert changed == msgspec.structs.replace(own, interpolation="bicubic", antialias=True)
    assert load_recipe(str(path), ["preprocess.color=gray"]).preprocess.mean == own.mean[:1]


@pytest.mark.parametrize(
    ("change", "resize"),
    [
        ("preprocess.resize.width_px=96", Squash(width_px=96, height_px=64)),
        ("preprocess.resize={rule='shorter_side', px=40}", ShorterSide(px=40)),
        ("preprocess.resize=", Squash(width_px=64, height_px=64)),
    ],
)
def test_a_part_of_a_networks_own_preprocessing_is_changed_by_itself(
    tmp_path: Path, change: str, resize: object
) -> None:
    file = tmp_path / "mini.toml"
    file.write_text("epochs = 1\n[model]\nvariant = 'mini_xception'\n[data]\nsource = 'digits'\n")
    assert load_recipe(file, [change]).preprocess.resize == resize


def test_preprocessing_that_a_file_states_is_not_completed_by_anothers() -> None:
    assert load_recipe("digits").preprocess.antialias
    assert not default_preprocess(architecture("mini_xception")).antialias


# What the sources' own files say: variant, epochs, images per step, optimiser, peak rate, decay, smoothing, schedule.
PUBLISHED = {
    "mindcv": ("mindcv_xception", 200, 32 * 8, "sgd", 0.045, 1e-5, 0.1, "cosine"),
    "mindspore_zoo": ("mindspore_xception", 250, 128 * 8, "sgd", 0.4, 1e-4, 0.1, "linear"),
    "mini_xception": ("mini_xception", 10_000, 32, "adam", 0.001, 0.02, 0.0, "plateau"),
    "paper": ("keras_xception", 120, 256, "rmsprop", 0.001, 1e-5, 0.0, "staged"),
    "paper_sgd": ("keras_xception", 120, 256, "sgd", 0.045, 1e-5, 0.0, "staged"),
    "ppcls_xception41": ("ppcls_xception41", 120, 64 * 4, "sgd", 0.045, 1e-4, 0.1, "cosine"),
    "ppcls_xception65": ("ppcls_xception65", 200, 64 * 4, "sgd", 0.045, 1e-4, 0.1, "cosine"),
    "ppcls_xception71": ("ppcls_xception71", 200, 32 * 4, "sgd", 0.0225, 1e-4, 0.1, "cosine"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_sources_recipe_says_what_the_source_does(name: str) -> None:
    recipe = load_recipe(name)
    optim = recipe.optim
    found = (recipe.model.variant, recipe.epochs, recipe.batch_size, optim.name, optim.lr, optim.weight_decay)
    assert (*found, recipe.loss.label_smoothing, recipe.schedule.name) == PUBLISHED[name]
    assert recipe.preprocess == default_preprocess(architecture(recipe.model.variant))
    assert optim.lr_per in (None, recipe.batch_size)
    assert recipe.mix.mixup == (0.2 if name in ("ppcls_xception65", "ppcls_xception71") else 0)


@pytest.mark.parametrize(("name", "seed"), [("mindcv", 42), ("mindspore_zoo", 1)])
def test_a_recipe_has_the_seed_that_its_source_sets(name: str, seed: int) -> None:
    assert load_recipe(name).seed == seed


@pytest.mark.parametrize("name", ["mindcv", "mini_xception", "modern", "paper"])
def test_a_recipe_makes_steps_at_a_small_size(name: str, tmp_path: Path) -> None:
    """Every part that a recipe asks for works together, on a narrow network and a few pictures."""
    for split in ("train", "val"):
        write_folder(tmp_path / "data" / split, 1)
    small = ["model.width=0.02" if "mini" not in load_recipe(name).model.variant else "model.width=0.5"]
    small += [f"data.source={tmp_path / 'data'}", "epochs=1", "batch_size=4"]
    recipe = msgspec.structs.replace(
        load_recipe(name, small), preprocess=Preprocess(resize=Squash(width_px=48, height_px=48))
    )
    bundle = train_network(recipe, out=tmp_path / "run")
    (score,) = bundle.model.metrics.values()
    assert score.seen == len(CLASSES)


def test_a_setting_of_a_later_version_leaves_the_digest_as_it_is_unless_it_is_used() -> None:
    class LaterOptim(OptimSettings, frozen=True, kw_only=True):
        foresight: float = 0.0

    class Later(Recipe, frozen=True, kw_only=True):
        optim: LaterOptim = LaterOptim()

    now, settings = small_recipe(), msgspec.to_builtins(small_recipe())
    assert msgspec.convert(settings, Later).digest == now.digest
    settings["optim"]["foresight"] = 0.5
    assert msgspec.convert(settings, Later).digest != now.digest
