"""The options of all verbs that run a model: the runtime, and its part of the machine."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from xception.backends.base import BACKENDS, Compute, InferPrecision
from xception.bundle import Bundle
from xception.cli.options import Readers, check_at_least_one
from xception.cli.output import say
from xception.data.pixels import Mode
from xception.data.source import Source
from xception.extras import is_installed
from xception.pipeline.engine import AUTO, Engine, check_options
from xception.pipeline.precision import change_by_precision
from xception.tasks.preprocess_alternatives import ALTERNATIVES, named_preprocess

BatchOption = Annotated[
    int | None, Parameter(help="Images per inference (default: 8); the result does not depend on it.")
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """The runtime, and its part of the machine."""

    backend: Annotated[
        str | None,
        Parameter(
            help=f"Runtime: {', '.join(BACKENDS)}, or {AUTO}, which tries them and remembers the fastest one on this "
            "machine (default: the first one for the bundle's form)."
        ),
    ] = None
    readers: Readers = None
    processes: Annotated[
        int | None,
        Parameter(
            help="Processes that prepare images, in place of threads. They use more than four cores, and a file that "
            "crashes a decoder affects no other file (default: one per core for thousands of images on more than four "
            "cores, else 0)."
        ),
    ] = None
    instances: Annotated[
        int | None, Parameter(help="Inferences at once (default: one per core, fewer for few images).")
    ] = None
    threads: Annotated[int | None, Parameter(help="Cores per inference (default: an even share).")] = None
    device: Annotated[
        str | None,
        Parameter(
            help="Processor: cpu, cuda, cuda:1 for the second GPU, or auto, a GPU where there is one (default: auto)."
        ),
    ] = None
    precision: Annotated[
        InferPrecision | None,
        Parameter(
            help="Number type of the computation: float32, bfloat16, and on a GPU tf32 and float16 (default: float32)."
        ),
    ] = None
    pixels: Annotated[
        Mode | None,
        Parameter(
            help="Precision of resizing images. reference gives exactly the pixels of the source's own library. exact "
            "is faster, and differs by at most 1 of 255. fast also shrinks JPEG files while they are decoded (default: "
            "reference where accuracy is measured, exact elsewhere)."
        ),
    ] = None

    @property
    def compute(self) -> Compute:
        """The part of the machine."""
        return Compute(instances=self.instances, threads=self.threads, precision=self.precision, device=self.device)

    def check(self) -> None:
        """Refuse options that do not fit together or the machine, before any work is done.

        Raises:
            UsageError: a number below one, more threads than cores, or something that `auto` is to choose.
            UnknownName: no such backend.
        """
        check_at_least_one(readers=self.readers, instances=self.instances, threads=self.threads)
        check_options(self.backend, self.compute, processes=self.processes)

    def open(self, bundle: Bundle, source: Source, *, batch: int | None = None) -> Engine:
        """An engine for the images of a source.

        Raises:
            UsageError: options that do not fit together, the machine or the bundle.
        """
        engine = Engine.open(
            bundle,
            backend=self.backend,
            compute=self.compute,
            mode=self.pixels,
            batch_size=batch,
            workers=self.readers,
            processes=self.processes,
            source=source,
        )
        if engine.choice:
            say(f"{AUTO}: {engine.choice.sentence()}")
        elif change := change_by_precision(engine):
            say(change.sentence())
        return engine


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EngineOptions(RuntimeOptions):
    """The runtime, its part of the machine, and the size of a batch."""

    batch: BatchOption = None

    def check(self) -> None:
        """Refuse the same as `RuntimeOptions.check`, and a batch below one."""
        check_at_least_one(batch=self.batch)
        super().check()
        check_options(self.backend, self.compute, self.batch)

    def open(self, bundle: Bundle, source: Source, *, batch: int | None = None) -> Engine:
        """An engine for the images of a source, with the size of a batch that was asked for."""
        self.check()
        return super().open(bundle, source, batch=batch or self.batch)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AnswerOptions(EngineOptions):
    """The runtime, its part of the machine, and another way to prepare the images that are answered."""

    preprocess: Annotated[
        str | None,
        Parameter(
            help=f"Preprocessing in place of the model's own: {', '.join(ALTERNATIVES)} or crop_pct=0.875. It may also "
            "be that of published weights, of a bundle, or of a JSON file with a preprocessing or vdsp_params."
        ),
    ] = None

    def open(self, bundle: Bundle, source: Source, *, batch: int | None = None) -> Engine:
        """An engine for the images of a source, which prepares them as was asked for.

        Raises:
            UsageError: options that do not fit together, the machine or the bundle.
            UnknownName: no such way to prepare images.
        """
        engine = super().open(bundle, source, batch=batch)
        if self.preprocess is None:
            return engine
        return engine.with_lane(preprocess=named_preprocess(self.preprocess, engine.lane.preprocess))


def noting_damage(engine: Engine) -> Engine:
    """The engine, which names the damage of JPEG files where simplejpeg, which finds it, is installed."""
    return engine.with_lane(damage="noted") if is_installed("simplejpeg") else engine


DEFAULT_RUNTIME = RuntimeOptions()
DEFAULT_ENGINE = EngineOptions()
DEFAULT_ANSWERS = AnswerOptions()
