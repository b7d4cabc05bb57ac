"""The common part of all vendors' packs: graphs, a sample of inputs with golden logits, and a manifest."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
from PIL import Image

from xception.backends.base import Logits, open_session, run_in_batches
from xception.bundle import Agreement, Bundle, Score
from xception.data.decode import JPEG_START, loaded_image
from xception.data.source import Item, Source
from xception.data.subset import balanced, check_disjoint
from xception.data.synthetic import noise_source
from xception.errors import CheckFailed, DecodeError, InputError
from xception.export.export import export_bundle
from xception.export.packs import verify
from xception.export.program import GraphOptions
from xception.export.request import ExportRequest
from xception.intervals import Interval
from xception.outputs import ensure_free, staged_folder
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Ready, prepared
from xception.preprocess import Preprocess
from xception.tasks.agreement import agreement_of
from xception.tasks.binary import check_classes
from xception.tasks.evaluate import evaluate

OPSET = 11
"""Version of the ONNX operators that both vendors' compilers take."""

MAX_CALIBRATION_IMAGES = 1000
"""Calibration images in a pack, as evenly over the classes as the data allow: one for each of ImageNet's."""

MIN_CHIP_AGREEMENT = 0.95
"""Share of inputs whose top-1 class on the chip has to be the source's. Half precision keeps nearly all; int8 files
that lose four points of accuracy, as published ones do, fall short of it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Images for the chip under distinct names, with their classes where known, and which could not be read."""

    names: tuple[str, ...]
    items: tuple[Item, ...]
    targets: tuple[int | None, ...]
    unreadable: tuple[str, ...]


class PreprocessCost(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy with the model's own preprocessing, which the chip cannot do, and with the nearest that it can."""

    data: str
    own_top1: Interval | None
    chip_top1: Interval | None
    images: int
    logits: Agreement
    """Agreement of the logits on the pack's inputs."""


Expected = Mapping[str, Score]
"""Accuracy of the source by data set."""


def measure_expected(request: ExportRequest) -> dict[str, Score]:
    """The source's accuracy: the bundle's records of it, and an evaluation on the request's data."""
    scores = dict(request.bundle.model.metrics)
    if request.data is not None:
        scores[request.data.name] = _evaluated(request.bundle, request.data)
    return scores


def file_name(request: ExportRequest) -> str:
    """The model's name as a file name."""
    return safe(request.bundle.model.name)


Contents = Callable[[Path, ExportRequest, Sample, Expected], Mapping[str, object]]
"""Writes a vendor's files into a folder, and returns its entries in the manifest."""


def write_pack(request: ExportRequest, contents: Contents) -> Path:
    """Write a whole pack next to its place, let it check itself, and rename it into place.

    Raises:
        UsageError: a bundle without classes, or one that the vendor's tools cannot take.
        InputError: the place holds something else, or the data sets share an image.
        CheckFailed: a graph differs from the weights; nothing is written.
    """
    check_classes(request.bundle)
    ensure = partial(ensure_free, request.out, "a pack", marker=verify.MANIFEST, overwrite=request.overwrite)
    ensure()
    if request.calibration is not None and request.data is not None:
        check_disjoint(request.calibration, request.data)
    sample, expected = sample_of(request), measure_expected(request)
    with staged_folder(request.out, ensure) as folder:
        said = contents(folder, request, sample, expected)
        shutil.copyfile(verify.__file__, folder / "verify.py")
        _write_manifest(folder, {**_facts(request, sample, expected), **said})
        try:
            verify.check_pack(folder)
        except verify.Fault as fault:
            raise CheckFailed(f"the pack does not verify: {fault}; report this with the bundle") from fault
    return request.out


def safe(text: str) -> str:
    """The text with nothing in it at which a tool or a shell would cut."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def sample_of(request: ExportRequest) -> Sample:
    """The inputs: images of the data, or noise that is always the same."""
    data, preprocess = request.data, request.bundle.model.preprocess
    source: Source = noise_source(preprocess, 16) if data is None else balanced(data, request.inputs)[0]
    targets = () if data is None else request.bundle.labels.targets(source.classes)
    ready: list[Item] = []
    failed: list[Item] = []
    for item, entry in zip(source, prepared(source, preprocess), strict=True):
        (ready if isinstance(entry, Ready) else failed).append(item)
    if not ready:
        raise InputError(f"none of the images of {source.name} can be read; expected at least one")
    return Sample(
        names=_names(ready),
        items=tuple(ready),
        targets=tuple(None if (index := item.class_index) is None or not targets else targets[index] for item in ready),
        unreadable=tuple(item.key for item in failed),
    )


def _names(items: Sequence[Item]) -> tuple[str, ...]:
    """Stems, numbered where they do not tell the items apart; always without a dot, which cuts a stem."""
    stems = tuple(safe(PurePosixPath(item.key).stem) for item in items)
    if len(set(stems)) == len(stems):
        return stems
    return tuple(f"{index:06d}_{stem}" for index, stem in enumerate(stems))


def pixels_of(sample: Sample, preprocess: Preprocess) -> Iterator[np.ndarray]:
    """Each input as the network takes it, (C, H, W) float32."""
    for entry in prepared(sample.items, preprocess):
        if not isinstance(entry, Ready):
            raise InputError(f"{entry.key} cannot be read: {entry.reason}; take it out of the data")
        yield entry.pixels


def write_goldens(
    folder: Path, request: ExportRequest, sample: Sample, preprocess: Preprocess, name: str = "logits"
) -> Logits:
    """`goldens/NAME.npy`: the source's logits of the inputs under a preprocessing, (N, K)."""
    with closing(open_session(request.bundle)) as session:
        rows = [run_in_batches(session, pixels[None], 1) for pixels in pixels_of(sample, preprocess)]
    logits: Logits = np.concatenate(rows)
    (folder / "goldens").mkdir(exist_ok=True)
    np.save(folder / "goldens" / f"{name}.npy", logits)
    return logits


def write_graphs(
    folder: Path, request: ExportRequest, batches: Sequence[int], input_name: str, output_name: str
) -> dict[str, Agreement | None]:
    """`onnx/NAME_bsN.onnx` for each fixed batch size, run and compared with the weights."""
    (folder / "onnx").mkdir()
    found: dict[str, Agreement | None] = {}
    for batch in batches:
        options = GraphOptions(opset=OPSET, fixed_batch=batch, input_name=input_name, output_name=output_name)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            exported = export_bundle(request.bundle, "onnx", Path(place) / "graph", options=options)
            name = f"onnx/{file_name(request)}_bs{batch}.onnx"
            exported.main_file.rename(folder / name)
        found[name] = exported.model.agreement
    return found


def calibration_items(request: ExportRequest) -> tuple[tuple[str, Item], ...]:
    """(name, item) of the class-balanced calibration images."""
    if request.calibration is None:
        return ()
    chosen = balanced(request.calibration, MAX_CALIBRATION_IMAGES)[0].items
    return tuple(zip(_names(chosen), chosen, strict=True))


def write_images(folder: Path, request: ExportRequest) -> str:
    """`calibration/CLASS/NAME.SUFFIX` with the calibration images; returns the suffix.

    JPEG files go as they are; if any image is no JPEG file, all are written as PNG, without loss.
    """
    rows = [(name, item, _load(item)) for name, item in calibration_items(request)]
    jpeg = all(isinstance(data, bytes) and data.startswith(JPEG_START) for _, _, data in rows)
    suffix = "JPEG" if jpeg else "png"
    classes = request.calibration.classes if request.calibration else ()
    for name, item, data in rows:
        place = folder / "calibration" / safe(classes[index] if (index := item.class_index) is not None else "unknown")
        place.mkdir(parents=True, exist_ok=True)
        if jpeg and isinstance(data, bytes):
            (place / f"{name}.{suffix}").write_bytes(data)
        else:
            loaded_image(data).convert("RGB").save(place / f"{name}.{suffix}")
    return suffix


def _load(item: Item) -> bytes | Image.Image:
    """The item's content, which is an image."""
    try:
        data = item.load()
        loaded_image(data)
    except (OSError, DecodeError) as error:
        raise InputError(f"{item.key} cannot be read: {error}; take it out of the data") from error
    return data


def cost_of(
    request: ExportRequest, expected: Expected, chip: Preprocess, own: Logits, theirs: Logits
) -> PreprocessCost | None:
    """Accuracy of the source on the data under its own preprocessing and under the chip's; None without data."""
    if request.data is None:
        return None
    changed = msgspec.structs.replace(request.bundle.model, preprocess=chip)
    score = _evaluated(replace(request.bundle, model=changed), request.data)
    return PreprocessCost(
        data=request.data.name,
        own_top1=expected[request.data.name].top1,
        chip_top1=score.top1,
        images=score.seen,
        logits=agreement_of(theirs, own),
    )


def _evaluated(bundle: Bundle, data: Source) -> Score:
    with Engine.open(bundle) as engine:
        return evaluate(engine, data).score()


def _facts(request: ExportRequest, sample: Sample, expected: Expected) -> dict[str, object]:
    model = request.bundle.model
    return {
        "format_version": verify.FORMAT_VERSION,
        "vendor": request.to,
        "model": {
            "name": model.name,
            "variant": model.network.variant,
            "precision": model.precision,
            "digest": model.digest,
            "num_classes": model.network.num_classes,
        },
        "preprocess": model.preprocess,
        "inputs": {"names": sample.names, "targets": sample.targets, "unreadable": sample.unreadable},
        "expected": expected,
        "least_agreement": MIN_CHIP_AGREEMENT,
    }


def _write_manifest(folder: Path, facts: Mapping[str, object]) -> None:
    files = {
        path.relative_to(folder).as_posix(): {"sha256": verify.sha256_of(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    document = {**msgspec.to_builtins(facts), "files": files, "digest": ""}
    # As the script will read it, since its digest is of what comes back from the text.
    document = json.loads(json.dumps(document))
    document["digest"] = verify.digest_of(document)
    (folder / verify.MANIFEST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
