import json
from pathlib import Path

import msgspec
import pytest

from tests.support.samples import CLASSES, labelled
from tests.train.samples import small_recipe
from xception.data.source import Items, data_fingerprint
from xception.data.sources import RUN_FILE
from xception.errors import InputError
from xception.train.assembly import assemble
from xception.train.manifest import (
    RunManifest,
    check_same_data,
    check_same_recipe,
    describe_run,
    differing_surroundings,
    manifest_at,
    read_manifest,
    write_manifest,
)
from xception.train.recipe import Recipe
from xception.train.settings import OptimSettings
from xception.train.storage import open_storage


def described(recipe: Recipe | None = None, images: int = 9, held_out: int = 3) -> RunManifest:
    recipe = recipe or small_recipe()
    return describe_run(recipe, assemble(recipe, (labelled(images), labelled(held_out))))


@pytest.fixture
def manifest() -> RunManifest:
    return described()


def test_a_manifest_says_what_decides_the_weights(manifest: RunManifest) -> None:
    assert manifest.recipe == small_recipe()
    part = manifest.data.training_part
    assert (part.images, part.classes, manifest.processes) == (9, len(CLASSES), 1)
    assert part.fingerprint == data_fingerprint(labelled(9))
    assert manifest.data.validation_part.images == 3
    assert manifest.threads >= 1
    assert {"torch", "numpy", "pillow", "python", "xception", "cpu"} <= manifest.environment.keys()


def test_it_is_read_as_it_was_written_by_any_name_of_the_run(manifest: RunManifest, tmp_path: Path) -> None:
    write_manifest(open_storage(tmp_path), manifest)
    assert read_manifest(open_storage(tmp_path)) == manifest
    assert [manifest_at(str(place)) for place in (tmp_path, tmp_path / RUN_FILE, f"{tmp_path}/")] == [manifest] * 3


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    assert read_manifest(open_storage(tmp_path)) is None
    with pytest.raises(InputError, match=r"no run\.json in .*; expected the folder of a training run"):
        manifest_at(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format_version": 1', '"format_version": 2', "format version 2, this program reads version 1"),
        ('"threads"', '"thread"', "not a valid description of a run: .*thread"),
        ("{", "", "not a valid description"),
    ],
)
def test_a_changed_manifest_is_refused(old: str, new: str, message: str, manifest: RunManifest, tmp_path: Path) -> None:
    write_manifest(open_storage(tmp_path), manifest)
    (tmp_path / RUN_FILE).write_text((tmp_path / RUN_FILE).read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        manifest_at(str(tmp_path))


def test_the_same_recipe_passes_and_another_is_told_by_its_settings(manifest: RunManifest) -> None:
    check_same_recipe(manifest, described(), "runs/a")
    with pytest.raises(InputError, match="the run in runs/a is of another recipe: batch_size was 4, is 8; resume with"):
        check_same_recipe(manifest, described(small_recipe(batch_size=8)), "runs/a")


def test_a_run_of_a_version_that_lacked_a_setting_goes_on_with_its_default(
    manifest: RunManifest, tmp_path: Path
) -> None:
    write_manifest(open_storage(tmp_path), manifest)
    content = json.loads((tmp_path / RUN_FILE).read_text())
    del content["recipe"]["optim"]["head_scale"]
    (tmp_path / RUN_FILE).write_text(json.dumps(content | {"recipe_digest": "of that version"}))
    check_same_recipe(manifest_at(str(tmp_path)), described(), "runs/a")
    with pytest.raises(InputError, match=r"optim\.head_scale was 1\.0, is 2\.0"):
        other = described(small_recipe(optim=OptimSettings(lr=0.01, head_scale=2.0)))
        check_same_recipe(manifest_at(str(tmp_path)), other, "runs/a")


def test_the_same_data_pass_and_others_are_counted(manifest: RunManifest) -> None:
    check_same_data(manifest, described(), "the run")
    with pytest.raises(InputError, match="the run: pictures had 9 images of 7 classes, pictures has 10 of 7"):
        check_same_data(manifest, described(images=10), "the run")
    with pytest.raises(InputError, match=r"the validation data .* pictures had 3 images of 7 classes, .* has 4"):
        check_same_data(manifest, described(held_out=4), "the run")


def test_the_fingerprint_changes_with_keys_labels_and_order() -> None:
    plain = labelled(11)
    others = [
        labelled(10),
        labelled(11, CLASSES[::-1]),
        Items(plain.name, plain.classes, plain.items[::-1]),
    ]
    prints = [data_fingerprint(source) for source in (plain, labelled(11), *others)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def test_changed_surroundings_are_listed(manifest: RunManifest) -> None:
    assert differing_surroundings(manifest, manifest) == []
    other = msgspec.structs.replace(manifest, processes=2, environment=manifest.environment | {"numpy": "0"})
    assert differing_surroundings(manifest, other) == [
        f"numpy was {manifest.environment['numpy']}, is 0",
        "processes was 1, is 2",
    ]
