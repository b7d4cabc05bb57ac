"""The fastest way to run a bundle on this machine, found by trying, and remembered."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path

import msgspec
import numpy as np

from xception import inputs
from xception.backends.base import BACKENDS, Compute, Logits, Session, installed, open_session
from xception.bundle import Bundle
from xception.data.pixels import Mode
from xception.data.source import Item, Source
from xception.data.synthetic import noise_source
from xception.errors import EnvironmentFault, InputError, UsageError
from xception.machine import cache_folder, cores, fingerprint
from xception.outputs import write_file
from xception.pipeline.lane import WORKERS_PER_CORE, Lane, Ready, Scored, prepared
from xception.pipeline.stream import run_lanes
from xception.pipeline.timing import interleaved

BATCH_SIZES = (1, 8, 32)
FIRST_BATCH = 8
"""Batch size with which the runtimes are compared; the size is then chosen for the fastest of them."""

IMAGES_PER_TRIAL = 64

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
        return (
            f"{self.way.backend} at batch {self.way.batch}, {compute.instances_at_once} x "
            f"{compute.threads_per_instance} threads{precision}: {self.images_per_second:,.1f} images/s{changed}"
        )


def autotune(bundle: Bundle, source: Source | None = None, mode: Mode = "exact", cache: Path | None = None) -> Choice:
    """Find the way of most images per second from file to logits, among the runtimes that are installed.

    It is measured once for each bundle and machine, their software included, and read from the cache afterwards.

    Args:
        bundle: what to run.
        source: images to try it on, repeated if they are few; by default noise.
        mode: how images become pixels.
        cache: by default `cache_folder()`.

    Raises:
        UsageError: no runtime for the bundle's form is installed.
        InputError: none of the images can be read.
    """
    names = installed(bundle.model.form)
    if not names:
        packages = [row.package for row in BACKENDS.values() if bundle.model.form in row.forms]
        raise UsageError(
            f"nothing that runs the form {bundle.model.form!r} of {bundle.path} is installed; "
            f"expected {' or '.join(packages) or 'another form'}"
        )
    file = (cache or cache_folder()) / "autotune" / f"{_key(bundle, names, mode)}.json"
    try:
        return inputs.parse_json(inputs.read_bytes(file, inputs.DOCUMENT_LIMIT), Choice)
    except (OSError, msgspec.MsgspecError):
        # Unknown, or the file was damaged: then it is measured anew and written over.
        images = source or noise_source(bundle.model.preprocess)
        choice = _measured(bundle, names, _sample(bundle, images, mode), mode)
    # Where nothing can be kept, it is measured anew every time.
    with suppress(EnvironmentFault):
        write_file(file, msgspec.json.encode(choice))
    return choice


def _key(bundle: Bundle, names: Sequence[str], mode: Mode) -> str:
    machine = fingerprint(*(BACKENDS[name].package for name in names))
    facts = (msgspec.json.encode(bundle.model), msgspec.json.encode(machine), mode.encode())
    return hashlib.sha256(b"\0".join(facts)).hexdigest()


def _sample(bundle: Bundle, source: Source, mode: Mode) -> tuple[Item, ...]:
    wanted = tuple(islice(source, IMAGES_PER_TRIAL))
    entries = prepared(wanted, bundle.model.preprocess, mode=mode)
    good = [entry.item for entry in entries if isinstance(entry, Ready)]
    if not good:
        raise InputError(f"none of the first {len(wanted)} images of {source.name} can be read; expected at least one")
    return tuple(islice(cycle(good), IMAGES_PER_TRIAL))


def _measured(bundle: Bundle, names: Sequence[str], items: Sequence[Item], mode: Mode) -> Choice:
    found = _best(bundle, list(_ways(bundle, names)), items, mode)
    if _fixed_batch(bundle):
        return found
    sweep = [msgspec.structs.replace(found.way, batch=batch) for batch in BATCH_SIZES]
    best = _best(bundle, sweep, items, mode)
    return msgspec.structs.replace(best, largest_change=found.largest_change)


def _ways(bundle: Bundle, names: Iterable[str]) -> Iterator[Way]:
    """Every runtime on one instance and on as many as there are cores, in float32 first."""
    batch = _fixed_batch(bundle) or FIRST_BATCH
    for name in names:
        lowered = BACKENDS[name].precisions[1:] if bundle.model.precision == "float32" else ()
        for precision, instances in product((None, *lowered), sorted({1, cores()})):
            yield Way(backend=name, compute=Compute(instances=instances, precision=precision), batch=batch)


def _fixed_batch(bundle: Bundle) -> int | None:
    return bundle.model.graph.input_shape[0] if bundle.model.graph else None


def _best(bundle: Bundle, ways: Sequence[Way], items: Sequence[Item], mode: Mode) -> Choice:
    """The fastest of several ways, the first of which sets the answers that all have to give."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(open_session(bundle, way.backend, way.compute))) for way in ways]
        trials = {
            str(place): partial(_logits, bundle, session, items, way.batch, mode)
            for place, (session, way) in enumerate(zip(sessions, ways, strict=True))
        }
        rounds = list(interleaved(trials, warmup=1, repeats=ROUNDS).values())
    changes = [_change(rounds[0][0].result, trial[0].result) for trial in rounds]
    seconds = [min(round_.seconds for round_ in trial) for trial in rounds]
    index = min((place for place, change in enumerate(changes) if change is not None), key=seconds.__getitem__)
    return Choice(way=ways[index], images_per_second=len(items) / seconds[index], largest_change=changes[index] or 0.0)


def _logits(bundle: Bundle, session: Session, items: Sequence[Item], batch: int, mode: Mode) -> Logits:
    lane, size = Lane.of(session, bundle.model.preprocess, mode=mode), session.facts.batch_size or batch
    outcomes = run_lanes([lane], items, size, workers=WORKERS_PER_CORE * cores())
    return np.stack([outcome.logits for (outcome,) in outcomes if isinstance(outcome, Scored)])


def _change(expected: Logits, logits: Logits) -> float | None:
    """The largest change of a logit, relative to the largest logit; None where it matters."""
    change = float(np.abs(logits - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    same = bool((logits.argmax(1) == expected.argmax(1)).all())
    return change if same and change <= MAX_CHANGE else None
