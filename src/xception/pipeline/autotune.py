"""The fastest way to run a bundle on this machine, found by trying, and remembered."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path

import msgspec
import numpy as np

from xception import inputs
from xception.backends.base import (
    BACKENDS,
    GPU_INSTANCES,
    Compute,
    Logits,
    Session,
    device_of,
    installed,
    open_session,
    processor_of,
    warm_up,
)
from xception.bundle import Bundle
from xception.data.pixels import Mode
from xception.data.source import Item, Source
from xception.data.synthetic import noise_source
from xception.errors import EnvironmentFault, InputError, UsageError
from xception.machine import cache_folder, cores, fingerprint
from xception.outputs import write_file
from xception.pipeline.lane import Lane, Ready, Scored, prepared
from xception.pipeline.stream import run_lanes
from xception.pipeline.timing import interleaved
from xception.waits import counted

BATCH_SIZES = (1, 8, 32)
GPU_BATCH_SIZES = (16, 64, 256)
FIRST_BATCH, FIRST_GPU_BATCH = 8, 64
"""Batch sizes with which the runtimes are compared; the size is then chosen for the fastest of them."""

IMAGES_PER_TRIAL, BATCHES_PER_GPU_TRIAL = 64, 8
"""Images of a trial on the CPU; on a GPU they are repeated to fill this many batches."""

ROUNDS = 3
"""Trials of each way, in turn, of which the fastest counts: what disturbs a trial only makes it slower."""

MAX_CHANGE = 0.02
"""Largest change of a logit, relative to the largest logit, with which a lower precision is taken; the likeliest class
must not change at all."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime and what it may use of the machine."""

    backend: str
    compute: Compute
    batch: int


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The fastest way from file to logits, and what its precision changed in the answers."""

    way: Way
    images_per_second: float
    largest_change: float
    """Largest change of a logit against float32, relative to the largest logit. The likeliest class was the same on
    every image."""

    def sentence(self) -> str:
        """The choice in words."""
        compute = self.way.compute
        precision = f", {compute.precision}" if compute.precision else ""
        changed = f", logits within {self.largest_change:.2%} of float32" if compute.precision else ""
        threads = f"{compute.instances_at_once} x {compute.threads_per_instance} threads"
        place = f"{compute.instances_at_once} at once on {compute.device}" if _on_gpu(self.way) else threads
        return (
            f"{self.way.backend} at batch {self.way.batch}, {place}{precision}: "
            f"{self.images_per_second:,.1f} images/s{changed}"
        )


def autotune(
    bundle: Bundle,
    source: Source | None = None,
    mode: Mode = "exact",
    cache: Path | None = None,
    *,
    device: str | None = None,
) -> Choice:
    """Find the way of most images per second from file to logits, among the runtimes that are installed.

    It is measured once for each bundle and machine, their software included, and read from the cache afterwards.

    Args:
        bundle: what to run.
        source: images to try it on, repeated if they are few; by default noise.
        mode: how images become pixels.
        cache: by default `cache_folder()`.
        device: see `Compute`; by default a GPU for every runtime that uses one.

    Raises:
        UsageError: no runtime for the bundle's form is installed, or none uses the device.
        EnvironmentFault: the machine has no such device.
        InputError: none of the images can be read.
    """
    names = installed(bundle.model.form)
    if not names:
        packages = [row.package for row in BACKENDS.values() if bundle.model.form in row.forms]
        raise UsageError(
            f"nothing that runs the form {bundle.model.form!r} of {bundle.path} is installed; "
            f"expected {' or '.join(packages) or 'another form'}"
        )
    devices = _devices(names, device)
    file = (cache or cache_folder()) / "autotune" / f"{_key(bundle, devices, mode)}.json"
    try:
        return inputs.parse_json(inputs.read_bytes(file, inputs.DOCUMENT_LIMIT), Choice)
    except (OSError, msgspec.MsgspecError):
        # Unknown, or the file was damaged: then it is measured anew and written over.
        images = source or noise_source(bundle.model.preprocess)
        choice = _measured(bundle, devices, _sample(bundle, images, mode), mode)
    # Where nothing can be kept, it is measured anew every time.
    with suppress(EnvironmentFault):
        write_file(file, msgspec.json.encode(choice))
    return choice


def _devices(names: Sequence[str], device: str | None) -> dict[str, str]:
    """The runtimes, each with the device that it computes on; those that cannot use a GPU that was asked for are left
    out."""
    usable = [name for name in names if BACKENDS[name].gpu_precisions]
    kept = usable or names if (device or "").startswith("cuda") else names
    return {name: device_of(name, Compute(device=device)) for name in kept}


def _key(bundle: Bundle, devices: Mapping[str, str], mode: Mode) -> str:
    machine = fingerprint(*(BACKENDS[name].package for name in devices))
    gpus = [processor_of(*pair) | {"device": pair[1]} for pair in devices.items()]
    facts = (msgspec.json.encode(bundle.model), msgspec.json.encode([machine, *gpus]), mode.encode())
    return hashlib.sha256(b"\0".join(facts)).hexdigest()


def _sample(bundle: Bundle, source: Source, mode: Mode) -> tuple[Item, ...]:
    wanted = tuple(islice(source, IMAGES_PER_TRIAL))
    entries = prepared(wanted, bundle.model.preprocess, mode=mode)
    good = [entry.item for entry in entries if isinstance(entry, Ready)]
    if not good:
        raise InputError(f"none of the first {len(wanted)} images of {source.name} can be read; expected at least one")
    return tuple(islice(cycle(good), IMAGES_PER_TRIAL))


def _measured(bundle: Bundle, devices: Mapping[str, str], items: Sequence[Item], mode: Mode) -> Choice:
    found = _best(bundle, list(_ways(bundle, devices)), items, mode)
    if _fixed_batch(bundle):
        return found
    sizes = GPU_BATCH_SIZES if _on_gpu(found.way) else BATCH_SIZES
    sweep = [msgspec.structs.replace(found.way, batch=batch) for batch in sizes]
    best = _best(bundle, sweep, items, mode)
    return msgspec.structs.replace(best, largest_change=found.largest_change)


def _ways(bundle: Bundle, devices: Mapping[str, str]) -> Iterator[Way]:
    """Every runtime on one instance and on as many as there are cores, or as keep a GPU busy; in float32 first."""
    for name, device in devices.items():
        row, on_gpu = BACKENDS[name], device != "cpu"
        known = row.gpu_precisions if on_gpu else row.precisions
        lowered = known[1:] if bundle.model.precision == "float32" else ()
        batch = _fixed_batch(bundle) or (FIRST_GPU_BATCH if on_gpu else FIRST_BATCH)
        for precision, instances in product((None, *lowered), {GPU_INSTANCES} if on_gpu else sorted({1, cores()})):
            compute = Compute(instances=instances, precision=precision, device=device)
            yield Way(backend=name, compute=compute, batch=batch)


def _on_gpu(way: Way) -> bool:
    return way.compute.device not in (None, "cpu")


def _fixed_batch(bundle: Bundle) -> int | None:
    return bundle.model.graph.input_shape[0] if bundle.model.graph else None


def _best(bundle: Bundle, ways: Sequence[Way], items: Sequence[Item], mode: Mode) -> Choice:
    """The fastest of several ways, the first of which sets the answers that all have to give."""
    given = [_repeated(items, way) for way in ways]
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(open_session(bundle, way.backend, way.compute))) for way in ways]
        for session, way in zip(sessions, ways, strict=True):
            warm_up(session, way.batch)
        trials = {
            str(place): partial(_logits, bundle, session, images, way.batch, mode)
            for place, (session, images, way) in enumerate(zip(sessions, given, ways, strict=True))
        }
        with counted(f"trying {len(ways)} ways to run it, in rounds", 1 + ROUNDS) as advance:
            measured = interleaved(trials, warmup=1, repeats=ROUNDS, after_round=lambda: advance(1))
        rounds = list(measured.values())
    first = [trial[0].result[: len(items)] for trial in rounds]
    changes = [_change(first[0], logits) for logits in first]
    rates = [len(images) / min(one.seconds for one in trial) for images, trial in zip(given, rounds, strict=True)]
    index = max((place for place, change in enumerate(changes) if change is not None), key=rates.__getitem__)
    return Choice(way=ways[index], images_per_second=rates[index], largest_change=changes[index] or 0.0)


def _repeated(items: Sequence[Item], way: Way) -> Sequence[Item]:
    """Images enough to keep a way busy."""
    wanted = BATCHES_PER_GPU_TRIAL * way.batch if _on_gpu(way) else len(items)
    return tuple(islice(cycle(items), max(len(items), wanted)))


def _logits(bundle: Bundle, session: Session, items: Sequence[Item], batch: int, mode: Mode) -> Logits:
    lane, size = Lane.of(session, bundle.model.preprocess, mode=mode), session.facts.batch_size or batch
    outcomes = run_lanes([lane], items, size, workers=lane.cores.workers)
    return np.stack([outcome.logits for (outcome,) in outcomes if isinstance(outcome, Scored)])


def _change(expected: Logits, logits: Logits) -> float | None:
    """The largest change of a logit, relative to the largest logit; None where it matters."""
    change = float(np.abs(logits - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    same = bool((logits.argmax(1) == expected.argmax(1)).all())
    return change if same and change <= MAX_CHANGE else None
