from pathlib import Path

import msgspec
import pytest
import torch

from tests.conftest import S3Server
from tests.support.samples import CLASSES, labelled, write_folder
from tests.train.samples import same_weights, signal_at, stop_at
from xception.bundle import open_bundle
from xception.data.augment import Augment
from xception.data.hold_out import HoldOut
from xception.data.sources import RUN_FILE, open_source
from xception.errors import InputError, UnknownName, UsageError
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess, Squash
from xception.tasks.evaluate import evaluate
from xception.train.checkpoint import INDEX
from xception.train.interruption import Stopped
from xception.train.logs import CSV, EVENTS, JSON_LINES
from xception.train.manifest import manifest_at
from xception.train.recipe import Recipe
from xception.train.result import BUNDLE
from xception.train.settings import (
    AverageSettings,
    ComputeSettings,
    DataSettings,
    LossSettings,
    MixSettings,
    ModelSettings,
    OptimSettings,
    ScheduleSettings,
)
from xception.train.trainer import train_network
from xception.train.validation import VALIDATION


def test_a_run_ends_with_a_bundle_a_log_and_a_checkpoint(whole: Path, recipe: Recipe) -> None:
    bundle = open_bundle(whole, verify=True)
    checkpoints = msgspec.json.decode((whole / INDEX).read_bytes())["checkpoints"]
    assert {path.name for path in whole.iterdir()} == {
        BUNDLE,
        CSV,
        EVENTS,
        "events.out.tfevents.1.xception.steps",
        JSON_LINES,
        INDEX,
        RUN_FILE,
        VALIDATION,
        *(row["file"] for row in checkpoints),
    }
    assert (bundle.labels.names, bundle.model.network.in_channels) == (CLASSES, 3)
    (score,) = bundle.model.metrics.values()
    assert (score.total, score.failed) == (28, 0)
    assert bundle.model.lineage[0].settings["recipe"] == recipe.digest
    rows = [msgspec.json.decode(line) for line in (whole / JSON_LINES).read_bytes().splitlines()]
    assert [(row["epoch"], row["steps"]) for row in rows] == [(1, 3), (2, 6), (3, 9)]


@pytest.mark.parametrize("step", [1, 5, 9])
def test_an_interrupted_and_resumed_run_ends_with_the_same_bits(
    step: int, recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, out=tmp_path / "run", callbacks=[stop_at(step)])
    resumed = train_network(recipe, out=tmp_path / "run", resume=True, workers=1)
    assert resumed.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()


def test_another_seed_ends_elsewhere(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    other = train_network(msgspec.structs.replace(recipe, seed=1), out=tmp_path / "run")
    assert other.main_file.read_bytes() != open_bundle(whole).main_file.read_bytes()


def test_a_finished_run_is_opened_and_not_repeated(recipe: Recipe, whole: Path) -> None:
    before = (whole / JSON_LINES).stat().st_mtime_ns
    assert train_network(recipe, out=whole, resume=True) == open_bundle(whole)
    assert (whole / JSON_LINES).stat().st_mtime_ns == before


def test_a_broken_checkpoint_is_named_and_the_one_before_leads_to_the_same_bits(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    out, notes = tmp_path / "run", []
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, out=out, callbacks=[stop_at(7)])
    newest = max(out.glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    resumed = train_network(recipe, out=out, resume=True, on_note=notes.append)
    assert any(newest.name in note and "is broken" in note for note in notes)
    assert resumed.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()


def test_a_run_is_repeated_from_its_manifest_to_the_same_bits(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    manifest, notes = manifest_at(str(whole / RUN_FILE)), []
    again = train_network(manifest.recipe, out=tmp_path / "run", like=manifest, on_note=notes.append)
    assert not any("last bits" in note for note in notes)
    assert same_weights(again, open_bundle(whole))


def test_a_run_is_not_repeated_on_other_data(whole: Path, tmp_path: Path) -> None:
    manifest = manifest_at(str(whole))
    elsewhere = write_folder(tmp_path / "data" / "train", 3).parent
    write_folder(elsewhere / "val", 1)
    other = msgspec.structs.replace(manifest.recipe, data=DataSettings(source=str(elsewhere)))
    with pytest.raises(InputError, match=r"not those of the run to repeat: .* had 28 images of 7 classes, .* has 21"):
        train_network(other, out=tmp_path / "run", like=manifest)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_compiled_network_trains_and_resumes_under_its_own_names(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = torch.compile
    # Compiled to the same operations, which takes no C compiler and gives the same bits.
    monkeypatch.setattr(torch, "compile", lambda module, **options: compiled(module, **options | {"backend": "eager"}))
    fused = msgspec.structs.replace(recipe, epochs=1, compute=ComputeSettings(compile=True))
    with pytest.raises(Stopped):
        train_network(fused, out=tmp_path / "fused", callbacks=[signal_at(1)])
    bundle = train_network(fused, out=tmp_path / "fused", resume=True)
    plain = train_network(msgspec.structs.replace(recipe, epochs=1), out=tmp_path / "plain")
    assert same_weights(bundle, plain)


def test_a_run_in_an_object_storage_can_be_stopped_damaged_resumed_and_opened_there(
    recipe: Recipe, whole: Path, s3_server: S3Server
) -> None:
    url, notes = f"{s3_server.bucket('runs')}/a/run", []
    with pytest.raises(Stopped):
        train_network(recipe, out=url, callbacks=[signal_at(7)])
    keys = [
        entry["Key"]
        for entry in s3_server.client.list_objects_v2(Bucket="runs", Prefix="a/run/checkpoint-")["Contents"]
    ]
    s3_server.client.put_object(Bucket="runs", Key=max(keys), Body=b"broken")
    resumed = train_network(recipe, out=url, resume=True, on_note=notes.append)
    assert any(f"{url}/checkpoint-" in note and "is broken" in note for note in notes)
    assert resumed.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()
    assert train_network(recipe, out=url, resume=True).model == resumed.model


def test_a_request_that_makes_no_sense_leaves_no_folder(recipe: Recipe, tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(recipe, model=ModelSettings(variant="mini_xcepton"))
    with pytest.raises(UnknownName, match="did you mean mini_xception"):
        train_network(wrong, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


STRONG = {
    "augment": Augment(crop_scale=(0.3, 1.0), flip=True, jitter=0.2, erase=0.3, policy="randaugment"),
    "mix": MixSettings(mixup=0.2, cutmix=1.0),
    "average": AverageSettings(decay=0.9),
    "sampling": "balanced",
    "loss": LossSettings(label_smoothing=0.1, smoothing_over="others", class_weights="balanced"),
}


def test_a_run_with_all_that_is_random_resumes_to_the_same_bits_and_publishes_its_average(
    recipe: Recipe, tmp_path: Path
) -> None:
    strong = msgspec.structs.replace(recipe, **STRONG)
    with pytest.raises(KeyboardInterrupt):
        train_network(strong, out=tmp_path / "cut", callbacks=[stop_at(5)])
    resumed = train_network(strong, out=tmp_path / "cut", resume=True, workers=1)
    whole = train_network(strong, out=tmp_path / "whole")
    assert resumed.main_file.read_bytes() == whole.main_file.read_bytes()
    last = msgspec.structs.replace(strong, average=None)
    assert train_network(last, out=tmp_path / "last").main_file.read_bytes() != whole.main_file.read_bytes()


def test_a_run_that_no_longer_improves_ends_and_publishes_its_best_epoch(recipe: Recipe, tmp_path: Path) -> None:
    # The rate rises to a wild one: the first epochs are the best ones, and everything after them is worse.
    wild = msgspec.structs.replace(
        recipe,
        optim=OptimSettings(name="adamw", lr=0.3),
        schedule=ScheduleSettings(name="constant", warmup_epochs=30),
        epochs=30,
        stop_after=2,
        publish="best",
    )
    made = train_network(wild, out=tmp_path / "run", keep=1)
    rows = [msgspec.json.decode(line) for line in (tmp_path / "run" / JSON_LINES).read_bytes().splitlines()]
    places = [(row["validation_top1"], -row["validation_loss"]) for row in rows]
    assert len(rows) < 30
    assert max(places[-2:]) <= max(places[:-2])
    (score,) = made.model.metrics.values()
    assert score.top1 is not None
    assert score.top1.value == max(row["validation_top1"] for row in rows)
    last = train_network(msgspec.structs.replace(wild, publish="last"), out=tmp_path / "last")
    assert last.main_file.read_bytes() != made.main_file.read_bytes()


def test_validation_on_other_classes_than_those_trained_on_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", 1, ("ant", "yak"))
    data = DataSettings(source=f"{recipe.data.source}/train", validation=str(other))
    with pytest.raises(InputError, match="1 of the 2 classes of the validation data, such as 'yak'"):
        train_network(msgspec.structs.replace(recipe, data=data), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_recipe_for_data_that_are_not_here_says_how_to_give_them(recipe: Recipe, tmp_path: Path) -> None:
    far = msgspec.structs.replace(recipe, data=DataSettings(source="imagenet"))
    with pytest.raises(InputError, match="there are no data at 'imagenet'; pass --data"):
        train_network(far, out=tmp_path / "run")


def test_a_run_says_at_which_rate_it_trains_where_the_batch_decides_it(recipe: Recipe, tmp_path: Path) -> None:
    notes: list[str] = []
    scaled = msgspec.structs.replace(recipe, epochs=1, optim=OptimSettings(lr=0.1, lr_per=100))
    train_network(scaled, out=tmp_path / "run", on_note=notes.append)
    assert "optim.lr 0.1 is for steps of 100 images; with 10 the peak rate is 0.01" in notes


def test_images_in_memory_are_trained_on_and_held_out(recipe: Recipe, tmp_path: Path) -> None:
    quick = msgspec.structs.replace(recipe, epochs=1)
    bundle = train_network(quick, labelled(42), out=tmp_path / "run")
    (name,) = bundle.model.metrics
    assert (name, bundle.model.metrics[name].total) == ("pictures:validation", 14)
    with pytest.raises(InputError, match="images in a program's memory"):
        open_source(f"{tmp_path / 'run'}:validation")


def test_a_runs_folder_stands_for_the_images_that_it_was_validated_on(recipe: Recipe, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 12)
    data = DataSettings(source=str(root), hold_out=HoldOut(fold="2/3"))
    quick = msgspec.structs.replace(recipe, data=data, epochs=1)
    bundle = train_network(quick, out=tmp_path / "run")
    unseen, seen = (open_source(f"{tmp_path / 'run'}:{part}") for part in ("validation", "train"))
    (score,) = bundle.model.metrics.values()
    assert (len(unseen), len(seen)) == (score.total, 84 - score.total)
    with Engine.open(bundle) as engine:
        assert evaluate(engine, unseen).top1 == score.top1


def test_a_bundle_knows_the_images_that_it_and_its_start_were_trained_on(recipe: Recipe, tmp_path: Path) -> None:
    quick = msgspec.structs.replace(recipe, epochs=1, data=DataSettings(source="-"))
    first, second = (write_folder(tmp_path / name, 10) for name in ("a", "b"))
    for path in second.rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"\0")
    start = train_network(quick, str(first), out=tmp_path / "start")
    with Engine.open(start) as engine:
        assert evaluate(engine, open_source(f"{first}:validation")).trained_on == 0
        assert evaluate(engine, open_source(f"{first}:train")).trained_on == 56
        assert evaluate(engine, open_source(str(first))).trained_on == 56
    tuned = msgspec.structs.replace(
        quick, model=ModelSettings(variant="mini_xception", width=0.5, start=str(start.path), parent=start.model.digest)
    )
    child = train_network(tuned, str(second), out=tmp_path / "child")
    with Engine.open(child) as engine:
        assert evaluate(engine, open_source(str(second))).trained_on == 56
        assert evaluate(engine, open_source(f"{first}:train")).trained_on == 56


@pytest.mark.parametrize("positive", [None, "bee"])
def test_sigmoids_are_trained_and_the_bundle_says_so(positive: str | None, recipe: Recipe, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 20, CLASSES[:2])
    binary = msgspec.structs.replace(
        recipe,
        model=ModelSettings(variant="mini_xception", width=0.5, norm_momentum=0.3, positive=positive),
        loss=LossSettings(name="binary_cross_entropy"),
        epochs=8,
    )
    bundle = train_network(binary, str(root), out=tmp_path / "run")
    assert bundle.model.activation == "sigmoid"
    assert bundle.labels.names == ((positive,) if positive else CLASSES[:2])
    with Engine.open(bundle) as engine:
        judged = evaluate(engine, open_source(str(root)))
    assert judged.top1 is not None
    assert judged.top1.value > 0.65


@pytest.mark.parametrize(
    "changes", [{"loss": LossSettings()}, {"model": ModelSettings(variant="mini_xception", positive="ape")}]
)
def test_a_single_output_for_anything_but_two_classes_is_refused(
    changes: dict[str, object], recipe: Recipe, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "d", 4, CLASSES[:2])
    binary = msgspec.structs.replace(
        recipe,
        model=ModelSettings(variant="mini_xception", positive="bee"),
        loss=LossSettings(name="binary_cross_entropy"),
    )
    with pytest.raises(UsageError, match=r"asks for a single output; expected loss\.name=binary_cross_entropy and"):
        train_network(msgspec.structs.replace(binary, **changes), str(root), out=tmp_path / "run")


def test_a_last_step_of_one_image_trains_where_maps_are_of_one_pixel(recipe: Recipe, tmp_path: Path) -> None:
    tiny = msgspec.structs.replace(
        recipe,
        model=ModelSettings(variant="tiny_xception"),
        preprocess=Preprocess(resize=Squash(width_px=16, height_px=16), color="rgb", mean=(0.5,) * 3, std=(0.5,) * 3),
        epochs=1,
    )
    assert train_network(msgspec.structs.replace(tiny, batch_size=27), out=tmp_path / "run")
    with pytest.raises(UsageError, match="norms need two values; expected other than 1 images per step"):
        train_network(msgspec.structs.replace(tiny, batch_size=1), out=tmp_path / "single")
