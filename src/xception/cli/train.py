"""`xception train`"""

import json
import logging
import os
import sys
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from xception.bundle import MANIFEST
from xception.cli.failures import EXIT_INTERRUPTED
from xception.cli.origin import this_run
from xception.cli.output import command, percent, print_facts, propose, say
from xception.cli.progress import progress_bar
from xception.data.files import is_image
from xception.data.locations import base_name
from xception.data.remote import is_remote
from xception.data.sources import packages_for
from xception.errors import MissingExtra, UsageError
from xception.extras import require_all
from xception.resolve import packages_to_get

if TYPE_CHECKING:
    from xception.bundle import Bundle
    from xception.train.dry_run import Plan
    from xception.train.first_run import FirstRun
    from xception.train.manifest import RunManifest
    from xception.train.recipe import Recipe
    from xception.train.settings import DataSettings
    from xception.train.storage import Storage

TRAINING_PACKAGES = ("torch", "lightning_fabric", "tensorboard")
"""The packages that every training run needs."""


def train(
    recipe: str | None = None,
    /,
    *,
    out: str | None = None,
    data: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    fold: str | None = None,
    rerun: str | None = None,
    find_lr: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    workers: int | None = None,
    keep: int = 2,
    save_every: int | None = None,
    track: tuple[Literal["wandb", "mlflow"], ...] = (),
) -> None:
    """Train a network from a recipe; a killed run continues with --resume and ends with the same weights.

    ```
    xception train photos/
    xception train digits --out runs/digits --resume
    xception train digits --data photos/ --set optim.lr=0.002 --out runs/photos
    xception train finetune --from keras_xception.imagenet --data photos/
    xception train qat --from runs/digits/bundle --data digits --out runs/qat
    xception train digits --data photos/ --find-lr --dry-run
    xception train --rerun runs/digits --out runs/again
    torchrun --nproc-per-node 8 --no-python xception train modern --data imagenet
    ```

    Args:
        recipe: Name of a shipped recipe, or a TOML file. For a data set, recipe, epochs and batch size are chosen.
        out: Folder of the result, or a URL such as s3://bucket/run: logs, bundle/, report.html (default: runs/RECIPE).
        data: Data set, to train on in place of the recipe's, such as an image folder or digits.
        from_: Model to start from, as other verbs take it. Its network, preprocessing and weights are used.
        fold: Part of the images held out for validation, such as 1/5; the parts 1/5 to 5/5 hold out each image once.
        set_: Change a setting of the recipe, such as optim.lr=0.1; may be repeated.
        rerun: Folder or `run.json` of a run to repeat, in place of a recipe.
        find_lr: Search for a learning rate first, and train with it in place of the recipe's.
        resume: Continue the run that lies at --out, or start it if there is none.
        dry_run: Print the plan, make two steps, and write nothing.
        workers: Processes that share the work, preparing batches; 0: a thread (default: 1; on GPUs all cores but two).
        save_every: Epochs between two saved states (default: one, with a state in between every ten seconds).
        track: Log to Weights & Biases or MLflow, too: into the run's folder, unless the environment names a server.
        keep: Number of the last checkpoints to keep, in addition to the best.
    """
    _require_counts(workers, keep, save_every)
    require_all(*TRAINING_PACKAGES, *(packages_to_get(from_) if from_ else ()), *packages_for(data), *track)
    chosen: tuple[str, ...] = ()
    if recipe is not None and data is None and (found := _first_run(recipe, from_, fold)):
        out, data = out or f"runs/{base_name(recipe)}", recipe
        recipe, chosen = found.recipe, found.changes
    given = {"data.source": data, "model.start": from_, "data.hold_out.fold": fold}
    settings, like = _settings(recipe, rerun, (*chosen, *set_, *_changes(given)), find_lr=find_lr)
    if dry_run:
        _dry_run(settings, workers, find_lr=find_lr)
        return
    options = {"find_lr": find_lr, "resume": resume, "workers": workers, "keep": keep, "save_every": save_every}
    _train(settings, out or _place(recipe, rerun), like, track, **options)


def _require_counts(workers: int | None, keep: int, save_every: int | None) -> None:
    for option, value, least in (("workers", workers, 0), ("keep", keep, 1), ("save-every", save_every, 1)):
        if value is not None and value < least:
            raise UsageError(f"--{option} is {value}; expected at least {least}")


def _place(recipe: str | None, rerun: str | None) -> str:
    """The folder of a run that was given none."""
    return f"runs/{PurePath(recipe).stem}" if recipe else f"{(rerun or '').removesuffix('/run.json')}-again"


def _first_run(name: str, start: str | None, fold: str | None) -> "FirstRun | None":
    """The run that is chosen for a data set, with its reasons said; None if the name is that of a recipe."""
    from xception.train.first_run import first_run, is_data

    if (Path(name) / MANIFEST).is_file():
        raise UsageError(
            f"{name} is a model; to train it on images of yours: {command('train', 'photos/', '--from', name)}"
        )
    if is_image(name) and Path(name).is_file():
        raise UsageError(
            f"{name} is one image; expected a folder with a folder of images for each class, such as photos/"
        )
    if not is_data(name):
        return None
    run = first_run(name, start, fold)
    for reason in run.reasons:
        say(reason)
    return run


def _changes(given: dict[str, str | None]) -> list[str]:
    """Changes of a recipe, with texts as TOML whatever characters are in them."""
    return [f"{name}={json.dumps(value)}" for name, value in given.items() if value is not None]


def _settings(
    recipe: str | None, rerun: str | None, changes: tuple[str, ...], *, find_lr: bool
) -> "tuple[Recipe, RunManifest | None]":
    """The recipe, and the run to repeat if --rerun names one."""
    from xception.train.recipe import load_recipe, moved

    if recipe is not None and rerun is None:
        return load_recipe(recipe, changes), None
    if find_lr and rerun:
        raise UsageError("--rerun repeats a run with its learning rate; expected no --find-lr with it")
    if recipe is not None or rerun is None:
        example = command("train", "photos/")
        raise UsageError(
            f"train needs a recipe or a folder of images, as in {example}, or --rerun with a run to repeat; expected "
            "one of them"
        )
    like = _read_rerun(rerun)
    places = {"data.source": like.data.source, "data.validation": like.data.validation, "model.start": like.start}
    return moved(like.recipe, (*_changes(places), *changes)), like


def _read_rerun(place: str) -> "RunManifest":
    """Read the run to repeat, and set torch to its number of threads, on which the last bits depend."""
    import torch

    from xception.train.manifest import manifest_at

    manifest = manifest_at(place)
    torch.set_num_threads(manifest.threads)
    return manifest


def _train(recipe: "Recipe", out: str, like: "RunManifest | None", track: tuple[str, ...], **options: Any) -> None:
    from xception.cli.training_display import TrainingDisplay
    from xception.train.interruption import Stopped
    from xception.train.trackers import TRACKERS
    from xception.train.trainer import train_network

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every process
    train_here = partial(train_network, recipe, out=out, like=like, **options)
    if os.environ.get("RANK", "0") != "0":  # only the first of several processes prints
        try:
            train_here()
        except Stopped:
            sys.exit(EXIT_INTERRUPTED)
        return
    with progress_bar() as progress:
        bundle = train_here(callbacks=[TrainingDisplay(progress), *(TRACKERS[name]() for name in track)], on_note=say)
    _print_result(bundle, out, recipe)


def _print_result(bundle: "Bundle", out: str, recipe: "Recipe") -> None:
    """Write the page of a finished run, and print its scores and speed."""
    from xception.train.logs import median_speed, read_history
    from xception.train.storage import open_storage

    storage = open_storage(out)
    history = read_history(storage)
    place = f"{storage.place}/bundle" if is_remote(out) else str(bundle.path)
    metrics = _accuracies(bundle, storage)
    page = _write_page(bundle, storage)
    speed = median_speed(history)
    print_facts({"bundle": place, "digest": bundle.model.digest, **metrics, "speed": str(speed or "-"), "report": page})
    propose(_following(recipe, place, _unseen(recipe.data, storage.place)))


def _accuracies(bundle: "Bundle", storage: "Storage") -> dict[str, str]:
    """The figures that sum up the validation part, by their names: of skewed classes also the rarest one's."""
    from xception.train.validation import read_validation

    validation = read_validation(storage)
    if validation and validation.label_sets:
        return {f"mean average precision on {validation.data}": percent(validation.label_sets.mean_average_precision)}
    facts = {f"top-1 on {name}": percent(score.top1) for name, score in bundle.model.metrics.items()}
    rarest = validation.rarest if validation else None
    if validation and rarest and validation.balanced_accuracy is not None:
        facts["balanced accuracy"] = f"{validation.balanced_accuracy:.2%}"
        hits = round((rarest.recall or 0) * rarest.support)
        facts[f"recall of {rarest.label}"] = f"{percent(rarest.recall_interval)}, {hits} of {rarest.support}"
    return facts


def _following(recipe: "Recipe", place: str, unseen: str) -> str:
    """The command that judges the result: as it is, or in int8 if it was trained for that."""
    qat = recipe.qat
    if qat is None:
        return command("evaluate", place, unseen)
    grid = [*(["--signed"] if qat.signed else []), *(["--weight-bits", "8"] if qat.weight_bits == 8 else [])]
    data = ["--calibration", recipe.data.source, "--validation", unseen]
    return command("quantize", place, *data, *grid, "--out", f"{place}-int8")


def _unseen(data: "DataSettings", run: str) -> str:
    """The images that a run was validated on, as every verb takes them; no part of them was trained on."""
    from xception.data.hold_out import DEFAULT
    from xception.data.sources import named_split

    if data.validation is not None:
        return data.validation
    return f"{named_split(data.source, None)[0] if data.hold_out == DEFAULT else run}:validation"


def _write_page(bundle: "Bundle", storage: "Storage") -> str:
    """Write the page next to the bundle; returns its place, or a dash if a package that draws it is not installed."""
    from xception.report.training import write_page

    try:
        return write_page(storage, bundle, this_run())
    except MissingExtra as error:
        say(f"no page was written: {error}")
        return "-"


def _dry_run(recipe: "Recipe", workers: int | None, *, find_lr: bool) -> None:
    from xception.train.dry_run import rehearse
    from xception.train.rate_finder import search_rate

    if find_lr:
        recipe, _ = search_rate(recipe, workers=workers, on_note=say)
    plan = rehearse(recipe, workers)
    for remark in plan.remarks:
        say(remark)
    print_facts(_plan_facts(plan))
    say("nothing was written; leave --dry-run out to train")


def _plan_facts(plan: "Plan") -> dict[str, str]:
    from xception.train.manifest import settings_of

    run, rates = plan.run, ", ".join(f"{rate:.3g} at {step}" for step, rate in plan.rates.items())
    return {
        **{name: str(value) for name, value in settings_of(run.recipe).items()},
        "parameters": f"{plan.parameters:,}",
        "training images": f"{run.data.training_part.images:,} of {run.data.training_part.classes} classes",
        "validation images": f"{run.data.validation_part.images:,}",
        "steps": f"{plan.total_steps:,} = {run.recipe.epochs} epochs of {plan.steps_per_epoch:,}",
        "rate at step": rates,
        "devices": f"{run.processes} x {run.device}, {run.threads} threads",
        "losses": ", ".join(f"{loss:.4f}" for loss in plan.losses),
        "time per step": f"{plan.ms_per_step:.1f} ms, {1000 * run.recipe.batch_size / plan.ms_per_step:,.0f} images/s",
        "peak memory": f"{plan.peak_memory_bytes / 1e9:.2f} GB" if plan.peak_memory_bytes else "-",
    }
