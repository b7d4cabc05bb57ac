import shutil
from pathlib import Path

import msgspec
import pytest

from tests.support.samples import write_folder
from tests.train.samples import same_weights, signal_at, stop_at
from xception.bundle import open_bundle
from xception.data.sources import open_source
from xception.errors import EnvironmentFault, InputError
from xception.train.interruption import Stopped
from xception.train.logs import JSON_LINES
from xception.train.manifest import manifest_at
from xception.train.recipe import Recipe
from xception.train.settings import (
    DataSettings,
    LossSettings,
    ScheduleSettings,
)
from xception.train.trainer import train_network


def test_a_folder_in_use_is_refused_unless_the_run_is_resumed(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is not empty; pass --resume"):
        train_network(recipe, out=tmp_path)
    with pytest.raises(EnvironmentFault, match=r"cannot (read|write) "):
        train_network(recipe, out=tmp_path / "file" / "run")


@pytest.mark.parametrize("finished", [True, False])
def test_another_recipe_is_refused_with_what_differs(
    finished: bool, recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    out = whole if finished else tmp_path / "run"
    if not finished:
        with pytest.raises(Stopped):
            train_network(recipe, out=out, callbacks=[signal_at(2)])
    other = msgspec.structs.replace(recipe, seed=7, loss=LossSettings(label_smoothing=0.1))
    with pytest.raises(
        InputError, match=r"another recipe: loss.label_smoothing was 0.0, is 0.1; seed was 0, is 7; resume"
    ):
        train_network(other, out=out, resume=True)


def test_a_run_whose_data_changed_is_not_resumed(recipe: Recipe, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for split in ("train", "val"):
        write_folder(data / split, 3)
    other = msgspec.structs.replace(recipe, data=DataSettings(source=str(data)))
    with pytest.raises(Stopped):
        train_network(other, out=tmp_path / "run", callbacks=[signal_at(1)])
    for split in ("train", "val"):
        write_folder(data / split, 3, ("yak",))
    with pytest.raises(InputError, match=r"not those of the run in .*: .* 21 images of 7 classes, .* has 24 of 8"):
        train_network(other, out=tmp_path / "run", resume=True)


def test_other_surroundings_are_noted(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    manifest, notes = manifest_at(str(whole)), []
    older = msgspec.structs.replace(manifest, environment=manifest.environment | {"torch": "1.0"})
    with pytest.raises(Stopped):
        train_network(recipe, out=tmp_path / "run", like=older, on_note=notes.append, callbacks=[signal_at(1)])
    assert len(notes) == 1
    assert "torch was 1.0, is " in notes[0]


def moved(recipe: Recipe, tmp_path: Path) -> Recipe:
    """The recipe with its data copied elsewhere, under another name."""
    place = shutil.copytree(recipe.data.source, tmp_path / "elsewhere" / "images")
    return msgspec.structs.replace(recipe, data=DataSettings(source=str(place)))


def test_a_run_whose_data_moved_is_resumed_to_the_same_bits(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, out=tmp_path / "run", callbacks=[stop_at(5)])
    resumed = train_network(moved(recipe, tmp_path), out=tmp_path / "run", resume=True)
    assert same_weights(resumed, open_bundle(whole))
    assert resumed.model.lineage[-1].settings["recipe"] == recipe.digest


def test_a_finished_run_notes_the_new_place_of_its_images(recipe: Recipe, tmp_path: Path) -> None:
    run, root = tmp_path / "run", write_folder(tmp_path / "d", 6)
    here = msgspec.structs.replace(recipe, epochs=1, data=DataSettings(source=str(root)))
    train_network(here, out=run)
    root.rename(tmp_path / "e")
    with pytest.raises(InputError, match=r"of the run in .*run no longer lie at .*/d; name their new place, or pass"):
        open_source(f"{run}:validation")
    there = msgspec.structs.replace(here, data=DataSettings(source=str(tmp_path / "e")))
    train_network(there, out=run, resume=True)
    assert len(open_source(f"{run}:validation")) == manifest_at(str(run)).data.validation_part.images
    for path in (tmp_path / "e").rglob("[0-3].png"):
        path.rename(path.with_name(f"new-{path.name}"))
    with pytest.raises(InputError, match=r"was validated on are no longer those at .*/e: .* may have been trained on"):
        open_source(f"{run}:validation")


def test_a_run_is_resumed_by_relative_and_absolute_paths(
    recipe: Recipe, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(recipe.data.source)
    monkeypatch.chdir(place.parent)
    relative = msgspec.structs.replace(recipe, data=DataSettings(source=place.name))
    with pytest.raises(KeyboardInterrupt):
        train_network(relative, out=tmp_path / "run", callbacks=[stop_at(5)])
    resumed = train_network(recipe, out=tmp_path / "run", resume=True)
    assert resumed.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()


def test_a_run_whose_validation_images_changed_is_not_resumed(recipe: Recipe, tmp_path: Path) -> None:
    other = moved(recipe, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_network(other, out=tmp_path / "run", callbacks=[stop_at(5)])
    next(Path(other.data.source, "val").rglob("*.png")).unlink()
    with pytest.raises(InputError, match=r"the validation data are not those of the run in .* 28 images .* has 27"):
        train_network(other, out=tmp_path / "run", resume=True)


def test_a_finished_run_is_prolonged_with_its_state(recipe: Recipe, tmp_path: Path) -> None:
    short, out, notes = msgspec.structs.replace(recipe, epochs=1), tmp_path / "run", []
    first = train_network(short, out=out).main_file.read_bytes()
    longer = train_network(recipe, out=out, resume=True, on_note=notes.append)
    rows = [msgspec.json.decode(line) for line in (out / JSON_LINES).read_bytes().splitlines()]
    assert [row["steps"] for row in rows] == [3, 6, 9]
    assert longer.main_file.read_bytes() != first
    assert longer.model.lineage[-1].settings["earlier_epochs"] == "1 until step 3"
    assert "goes on after step 3 with 3 epochs in place of 1; the schedule now spans 9 steps" in "\n".join(notes)
    assert train_network(recipe, out=out, resume=True).model == longer.model
    with pytest.raises(InputError, match="has finished 3 epochs, and is to have 1; expected as many at least"):
        train_network(short, out=out, resume=True)


def test_a_run_that_is_prolonged_before_its_first_step_is_the_longer_run(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    constant = {"schedule": ScheduleSettings(name="constant")}
    short, long = (msgspec.structs.replace(recipe, epochs=epochs, **constant) for epochs in (2, 3))
    train_network(short, out=tmp_path / "run")
    prolonged = train_network(long, out=tmp_path / "run", resume=True)
    at_once = train_network(long, out=tmp_path / "whole")
    assert same_weights(prolonged, at_once)
