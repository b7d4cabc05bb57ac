"""The place of a run: claimed by a new run, or found again by one that goes on there, perhaps for longer."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from xception.bundle import Bundle
from xception.errors import InputError
from xception.train.checkpoint import Checkpoints, restore
from xception.train.distributed import from_first
from xception.train.manifest import (
    EarlierLength,
    RunManifest,
    check_same_data,
    check_same_recipe,
    differing_surroundings,
    read_manifest,
    write_manifest,
)
from xception.train.result import BUNDLE
from xception.train.setup import TrainingSetup
from xception.train.storage import Storage


class Claim(NamedTuple):
    """The run that lies at a place."""

    earlier: RunManifest | None
    """Its manifest; None of a new run."""
    finished: Bundle | None
    """Its bundle, if nothing is left to do."""


def refuse_taken(storage: Storage, *, resume: bool) -> None:
    """Refuse a place that holds something which is not to be resumed.

    Raises:
        InputError: it does.
    """
    if storage.names() and not resume:
        raise InputError(
            f"{storage.place} is not empty; pass --resume to continue the run in it, or choose another place"
        )


def claim(
    storage: Storage,
    manifest: RunManifest,
    *,
    like: RunManifest | None,
    resume: bool,
    on_note: Callable[[str], None],
) -> Claim:
    """Take the place of a run, and write its manifest unless there is one, with the present places of its data.

    Args:
        storage: the place, which no other process may write until it is closed.
        manifest: the run as it would begin now.
        like: the run to repeat.
        resume: a run may lie there.
        on_note: called with a sentence on what may change the last bits.

    Raises:
        InputError: the place holds something that is not to be resumed, or another run.
    """
    refuse_taken(storage, resume=resume)
    storage.claim()
    found = read_manifest(storage)
    if found:
        check_same_recipe(found, manifest, storage.place)
        check_same_data(found, manifest, f"the run in {storage.place}")
    for earlier in filter(None, (found, like)):
        if differences := differing_surroundings(earlier, manifest):
            on_note(f"the last bits of the weights may differ from the earlier run's: {'; '.join(differences)}")
    if like and like.stages:
        on_note("the repeated run was prolonged and this one is not, so their weights will differ")
    if not found:
        write_manifest(storage, manifest)
    elif found.places != manifest.places and manifest.data.source is not None:
        found = msgspec.structs.replace(found, data=manifest.data, start=manifest.start)
        write_manifest(storage, found)
    is_as_long = found is not None and found.recipe_digest == manifest.recipe_digest
    return Claim(found, storage.published(BUNDLE) if is_as_long else None)


def restored(storage: Storage, keep: int, setup: TrainingSetup, on_note: Callable[[str], None]) -> Checkpoints:
    """The checkpoints of a run, whose newest state is taken over if there is any."""
    checkpoints = Checkpoints(storage, keep, on_note, setup.course.figure)
    found = from_first(setup.fabric, checkpoints.load)
    if found:
        restore(setup.state, found[1], found[0])
    return checkpoints


def prolonged(
    storage: Storage,
    manifest: RunManifest,
    earlier: RunManifest | None,
    setup: TrainingSetup,
    on_note: Callable[[str], None],
) -> RunManifest:
    """The manifest of a run that goes on with the `earlier` one; if its length is another, that is written and said.

    Raises:
        InputError: more epochs are finished than the run is to have.
    """
    if earlier is None or earlier.recipe_digest == manifest.recipe_digest:
        return earlier or manifest
    progress, course = setup.state.progress, setup.course
    progress.ended_by = ""
    if len(progress.history) > course.epochs:
        raise InputError(
            f"the run in {storage.place} has finished {len(progress.history)} epochs, and is to have "
            f"{course.epochs}; expected as many at least"
        )
    length = EarlierLength(epochs=earlier.recipe.epochs, until_step=progress.step)
    manifest = msgspec.structs.replace(manifest, stages=(*earlier.stages, length))
    if setup.fabric.is_global_zero:
        write_manifest(storage, manifest)
        rate = setup.stepper.learning_rate(min(progress.step, course.total_steps - 1), progress.validation_losses)
        on_note(
            f"the run goes on after step {progress.step} with {course.epochs} epochs in place of "
            f"{earlier.recipe.epochs}; the schedule now spans {course.total_steps} steps, and goes on with the rate "
            f"{rate:.3g}"
        )
    return manifest
