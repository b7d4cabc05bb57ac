"""The three ways from a photograph to the network's pixels, and the plain sequence of Pillow's calls.

    python -m benchmarks.preprocess PHOTOS [--entry timm_xception.tf_in1k] [--rounds 15] [--bundle DIR ...]

PHOTOS is a folder of JPEG files. Every photograph goes through all ways in turn, each round beginning with another one;
times are those of the processor in one thread, so that they do not grow while it waits. Then the effect of each way: on
the pixels, and on the answers of a network of the entry's variant with seeded weights and of each `--bundle`. Writes a
table and the figures of every round to `--out`, `.md` and `.json`.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import thread_time
from typing import Any, cast
from unittest.mock import patch

import msgspec
import numpy as np
from PIL import Image

from benchmarks.record import FOLDER, conditions, measured_on, save
from parity.ours import relative_difference, seeded_tensors
from xception.arch.variants import architecture
from xception.backends.base import Session, open_session
from xception.bundle import Bundle, Model, Network, open_bundle, write_bundle
from xception.convert.catalog import CATALOG
from xception.convert.defaults import default_labels
from xception.data import decode, pixels
from xception.data.pixels import Mode
from xception.export.export import export_bundle
from xception.preprocess import FILTERS, CenterCrop, Preprocess, ShorterSide
from xception.weights import weights_bytes

PLAIN = "Pillow's calls"
WITHOUT = " without the extra"
CHANGING_MODES: tuple[Mode, ...] = ("exact", "fast")
WAYS = (PLAIN, "reference", "exact", "fast", f"exact{WITHOUT}", f"fast{WITHOUT}")

Load = Callable[..., Any]


def main() -> None:
    arguments = _arguments()
    photos = [path.read_bytes() for path in sorted(arguments.photos.rglob("*.[jJ][pP]*[gG]"))]
    preprocess = CATALOG[arguments.entry].preprocess
    document = {
        **measured_on("pillow", "numpy", "simplejpeg", "nanoarrow", "cykooz-resizer"),
        "entry": arguments.entry,
        "photos": len(photos),
        "rounds": arguments.rounds,
        "speed": speed(photos, preprocess, arguments.rounds),
        "effect": list(effects(photos, arguments.entry, arguments.bundle)),
    }
    save(arguments.out, document, markdown(document))
    print(markdown(document))


def speed(photos: Sequence[bytes], preprocess: Preprocess, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds a photograph, in all and of that for decoding, of each way in each round."""
    figures: dict[str, dict[str, list[float]]] = {name: {"total_ms": [], "decode_ms": []} for name in WAYS}
    # The first round warms up.
    for turn in range(-1, rounds):
        spent = {name: np.zeros(2) for name in WAYS}
        for photo in photos:
            for place in range(len(WAYS)):
                name = WAYS[(turn + place) % len(WAYS)]
                spent[name] += milliseconds(name, photo, preprocess)
        for name, (total, decoding) in spent.items() if turn >= 0 else ():
            figures[name]["total_ms"].append(total / len(photos))
            figures[name]["decode_ms"].append(decoding / len(photos))
    return figures


def milliseconds(name: str, photo: bytes, preprocess: Preprocess) -> np.ndarray:
    """Of the processor, by one way: in all, and of that for decoding."""
    decoding = 0.0

    def timed(load: Load) -> Load:
        def load_and_count(*arguments: Any, **keywords: Any) -> Any:
            nonlocal decoding
            start = thread_time()
            image = load(*arguments, **keywords)
            decoding += thread_time() - start
            return image

        return load_and_count

    with ExitStack() as stack:
        if name.endswith(WITHOUT):
            for module in (pixels, decode):
                stack.enter_context(patch.object(module, "optional", lambda _: None))
        for decoder in ("loaded_image", "photograph"):
            stack.enter_context(patch.object(pixels, decoder, timed(getattr(pixels, decoder))))
        load = timed(opened)
        start = thread_time()
        if name == PLAIN:
            plain(load(photo), preprocess)
        else:
            np.ascontiguousarray(pixels.pixels(photo, preprocess, cast(Mode, name.removesuffix(WITHOUT))))
        return np.array([thread_time() - start, decoding]) * 1e3


def opened(photo: bytes) -> Image.Image:
    return Image.open(io.BytesIO(photo)).convert("RGB")


def plain(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """What any script would write."""
    size, box = preprocess.geometry(*image.size)
    part = image.resize(size, FILTERS[preprocess.interpolation]).crop(box)
    return np.ascontiguousarray(np.asarray(part).transpose(2, 0, 1))


def effects(photos: Sequence[bytes], entry: str, bundles: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """What each way changes of the pixels and of the answers, by network."""
    with TemporaryDirectory() as folder:
        for bundle in (seeded(entry, Path(folder)), *map(open_bundle, bundles)):
            preprocess = with_shortcut(bundle.model.preprocess)
            with closing(open_session(bundle)) as session:
                for mode in CHANGING_MODES:
                    yield {"network": bundle.model.name, "mode": mode, **effect(photos, preprocess, session, mode)}


def effect(photos: Sequence[bytes], preprocess: Preprocess, session: Session, mode: Mode) -> dict[str, float]:
    modes: tuple[Mode, Mode] = ("reference", mode)
    different, largest, summed, agreed = 0, 0, 0, 0
    errors = []
    for photo in photos:
        images = [pixels.pixels(photo, preprocess, each) for each in modes]
        steps = np.abs(images[0].astype(int) - images[1])
        different, largest, summed = different + (steps > 0).sum(), max(largest, steps.max()), summed + steps.sum()
        answers = [session(preprocess.normalize(image)[None]) for image in images]
        errors.append(relative_difference(answers[1], answers[0]))
        agreed += int(answers[0].argmax() == answers[1].argmax())
    values = len(photos) * steps.size
    return {
        "different": float(different / values),
        "mean_step": float(summed / values),
        "max_step": int(largest),
        "median_logit_difference": median(errors),
        "max_logit_difference": max(errors),
        "top1_agreement": agreed / len(photos),
    }


def seeded(entry: str, folder: Path) -> Bundle:
    """The entry's network with seeded weights, for ONNX Runtime."""
    spec = architecture(CATALOG[entry].variant)
    model = Model(
        name=f"{spec.name}, seeded weights",
        network=Network(variant=spec.name, num_classes=spec.num_classes, in_channels=spec.in_channels),
        form="weights",
        precision="float32",
        preprocess=CATALOG[entry].preprocess,
    )
    files = {"weights.safetensors": weights_bytes(seeded_tensors(spec))}
    weights = write_bundle(folder / "weights", model, default_labels(spec.num_classes), files)
    return export_bundle(weights, "onnx", folder / "onnx")


def with_shortcut(preprocess: Preprocess) -> Preprocess:
    """Of networks whose own resize is the same in all ways: timm's resize and crop to the same size instead."""
    if preprocess.antialias and isinstance(preprocess.resize, ShorterSide):
        return preprocess
    height, width = preprocess.output_px or (0, 0)
    return msgspec.structs.replace(
        preprocess,
        antialias=True,
        interpolation="bicubic",
        resize=ShorterSide(px=round(min(height, width) * 333 / 299)),
        crop=CenterCrop(width_px=width, height_px=height),
    )


def markdown(document: Mapping[str, Any]) -> str:
    lines = [
        f"{document['photos']} photographs, `{document['entry']}`, {document['rounds']} rounds, {document['date']}",
        f"({conditions(document)}). Milliseconds of one core and images/s are medians of the rounds, ratios those of",
        "their own ratios, with the lowest and the highest.",
        "",
        "| way | decode, ms | resize, ms | images/s | relative to Pillow's calls |",
        "| --- | --- | --- | --- | --- |",
    ]
    base = np.array(document["speed"][PLAIN]["total_ms"])
    for name, figures in document["speed"].items():
        total, decoding = (np.array(figures[key]) for key in ("total_ms", "decode_ms"))
        ratio = base / total
        spread = f"{median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
        parts = f"{median(decoding):.2f} | {median(total - decoding):.2f} | {1e3 / median(total):.0f}"
        lines.append(f"| {name} | {parts} | {spread} |")
    lines += [
        "",
        "| network | way | values that differ | steps, mean | largest | logits, median and largest | same top-1 |",
        "| --- " * 7 + "|",
    ]
    for row in document["effect"]:
        steps = f"{row['different']:.3%} | {row['mean_step']:.4f} | {row['max_step']}"
        answers = (
            f"{row['median_logit_difference']:.2g}, {row['max_logit_difference']:.2g} | {row['top1_agreement']:.1%}"
        )
        lines.append(f"| {row['network']} | {row['mode']} | {steps} | {answers} |")
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--entry", default="timm_xception.tf_in1k", choices=CATALOG)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bundle", type=Path, nargs="*", default=[], help="networks whose answers are compared too")
    parser.add_argument("--out", type=Path, default=FOLDER / "preprocess")
    return parser.parse_args()


if __name__ == "__main__":
    main()
