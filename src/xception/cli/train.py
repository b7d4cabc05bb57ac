"""`xception train`"""

import logging
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from xception.cli.output import percent, print_facts, progress_bar, say
from xception.cli.training_display import TrainingDisplay
from xception.cli.training_page import write_page
from xception.data.remote import is_remote
from xception.errors import UsageError
from xception.extras import require

if TYPE_CHECKING:
    from xception.train.dry_run import Plan
    from xception.train.manifest import RunManifest
    from xception.train.recipe import Recipe


def train(
    recipe: str | None = None,
    /,
    *,
    out: str | None = None,
    data: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    rerun: str | None = None,
    resume: bool = False,
    dry_run: bool = False,
    workers: int = 2,
    keep: int = 2,
) -> None:
    """Train a network from a recipe; a killed run continues with --resume and ends with the same weights.

    ```
    xception train digits --out runs/digits
    xception train digits --out runs/digits --resume
    xception train digits --data photos/ --set optim.lr=0.002 --set epochs=30 --out runs/photos
    xception train digits --dry-run
    xception train --rerun runs/digits --out runs/again
    torchrun --nproc-per-node 8 --no-python xception train modern --data imagenet/ --out s3://bucket/run
    ```

    Args:
        recipe: A shipped recipe's name, or a TOML file.
        out: Folder of the run, or a URL such as s3://bucket/run: checkpoints, logs, and at the end `bundle/` and
            `report.html`. By default runs/RECIPE, or for a repeated run its folder's name with -again behind it.
        data: Data set to train on, instead of the recipe's: an image folder, or digits.
        from_: Bundle whose network, preprocessing and weights to start from.
        set_: Change a setting of the recipe, such as optim.lr=0.1; may be given several times.
        rerun: Repeat the run whose folder or `run.json` this is, instead of a recipe.
        resume: Continue the run that lies at --out, or start it if there is none.
        dry_run: Print what would be done, make two steps, and write nothing.
        workers: Threads that prepare batches; the result does not depend on it.
        keep: How many of the last checkpoints to keep, besides the best.
    """
    if min(workers, keep) < 1:
        raise UsageError("--workers and --keep must be at least 1")
    require("torch", "train")
    require("lightning_fabric", "train")
    changes = (*set_, *([f"data.source='{data}'"] if data else []), *([f"model.start='{from_}'"] if from_ else []))
    settings, like = _settings(recipe, rerun, changes, data)
    if dry_run:
        _rehearse(settings, workers)
        return
    place = out or (f"runs/{PurePath(recipe).stem}" if recipe else f"{(rerun or '').removesuffix('/run.json')}-again")
    _train(settings, place, like, resume=resume, workers=workers, keep=keep)


def _settings(
    recipe: str | None, rerun: str | None, changes: tuple[str, ...], data: str | None
) -> "tuple[Recipe, RunManifest | None]":
    """The recipe, and the run to repeat if it is one's."""
    from xception.train.recipe import load_recipe

    if recipe is not None and rerun is None:
        return load_recipe(recipe, changes), None
    if recipe is not None or rerun is None:
        raise UsageError("train needs a recipe, or --rerun with a run to repeat; expected one of them")
    if len(changes) > (data is not None):
        raise UsageError("--rerun repeats a run as it was; leave --set and --from out, or train from a recipe")
    like = _repeated(rerun)
    return _moved(like.recipe, data), like


def _repeated(place: str) -> "RunManifest":
    """The run to repeat, with torch set to its number of threads, on which the last bits depend."""
    import torch

    from xception.train.manifest import manifest_at

    manifest = manifest_at(place)
    torch.set_num_threads(manifest.threads)
    return manifest


def _moved(recipe: "Recipe", data: str | None) -> "Recipe":
    """The recipe with the data where they lie now."""
    if data is None:
        return recipe
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, source=data))


def _train(recipe: "Recipe", out: str, like: "RunManifest | None", *, resume: bool, workers: int, keep: int) -> None:
    from xception.train.trainer import train_network

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every process
    options = {"resume": resume, "workers": workers, "keep": keep, "like": like}
    if os.environ.get("RANK", "0") != "0":  # one of several processes, of which the first tells
        train_network(recipe, out, **options)  # type: ignore[arg-type]
        return
    with progress_bar() as progress:
        display = TrainingDisplay(progress)
        bundle = train_network(
            recipe,
            out,
            **options,  # type: ignore[arg-type]
            on_step=display.on_step,
            on_epoch=display.on_epoch,
            on_note=say,
        )
    place = f"{out.rstrip('/')}/bundle" if is_remote(out) else str(bundle.path)
    metrics = {f"top-1 on {name}": percent(score.top1) for name, score in bundle.model.metrics.items()}
    page = write_page(bundle, out, display.speed)
    facts = {"bundle": place, "digest": bundle.model.digest, **metrics, "speed": display.speed, "report": page or "-"}
    print_facts(facts)
    say(f"next: xception evaluate {place} {recipe.data.source}")


def _rehearse(recipe: "Recipe", workers: int) -> None:
    from xception.train.dry_run import rehearse

    print_facts(_plan_facts(rehearse(recipe, workers)))
    say("nothing was written; leave --dry-run out to train")


def _plan_facts(plan: "Plan") -> dict[str, str]:
    from xception.train.manifest import settings_of

    run, rates = plan.run, ", ".join(f"{rate:.3g} at {step}" for step, rate in plan.rates.items())
    return {
        **{name: str(value) for name, value in settings_of(run.recipe).items()},
        "parameters": f"{plan.parameters:,}",
        "training images": f"{run.data.images:,} of {run.data.classes} classes",
        "validation images": f"{plan.validation_images:,}",
        "steps": f"{plan.total_steps:,} = {run.recipe.epochs} epochs of {plan.steps_per_epoch:,}",
        "rate at step": rates,
        "devices": f"{run.processes} x {run.device}, {run.threads} threads",
        "losses": ", ".join(f"{loss:.4f}" for loss in plan.losses),
        "time of a step": f"{plan.ms_per_step:.1f} ms, {1000 * run.recipe.batch_size / plan.ms_per_step:,.0f} images/s",
        "peak memory": f"{plan.peak_memory_bytes / 1e9:.2f} GB" if plan.peak_memory_bytes else "-",
    }
