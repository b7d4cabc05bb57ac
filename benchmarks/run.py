"""Measure the exported forms of a freshly initialised network on this machine: `make bench`.

Speed does not depend on the weights' values, so that nothing has to be trained. Writes a table to stdout.
"""

import argparse
import tempfile
from pathlib import Path

from xception.arch.variants import VARIANTS
from xception.bundle import Bundle, Model, Network, write_bundle
from xception.data.synthetic import noise_source
from xception.export.export import export_bundle
from xception.labels import Labels
from xception.models.network import build
from xception.pipeline.engine import Engine
from xception.preprocess import CenterCrop, Preprocess, ShorterSide
from xception.speed.benchmark import benchmark
from xception.weights import weights_bytes


def untrained(variant: str, folder: Path) -> Bundle:
    """A bundle of a variant's network with its initial weights."""
    spec = VARIANTS[variant]
    gray = spec.in_channels == 1
    statistics = (0.5,) * spec.in_channels
    model = Model(
        name=f"{variant}.untrained",
        network=Network(variant=variant, num_classes=spec.num_classes, in_channels=spec.in_channels),
        form="weights",
        precision="float32",
        preprocess=Preprocess(
            color="gray" if gray else "rgb",
            resize=ShorterSide(px=round(spec.input_px / 0.9)),
            crop=CenterCrop(width_px=spec.input_px, height_px=spec.input_px),
            mean=statistics,
            std=statistics,
        ),
    )
    labels = Labels(tuple(f"class {index}" for index in range(spec.num_classes)))
    return write_bundle(folder, model, labels, {"weights.safetensors": weights_bytes(build(spec).tensors())})


def main() -> None:
    """Print a table of rates for one variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="timm_xception", choices=sorted(VARIANTS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--images", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = untrained(arguments.variant, folder / "weights")
        forms = [weights, *(export_bundle(weights, to, folder / to) for to in ("onnx", "openvino"))]
        print(f"{'form':10} {'batch':>5} {'infer':>10} {'end to end':>10} {'bound':>10} {'efficiency':>10}")
        for form in forms:
            with Engine.open(form) as engine:
                source = noise_source(form.model.preprocess)
                result = benchmark(engine, source, batches=tuple(arguments.batch), images=arguments.images)
            for run in result.runs:
                figures = (
                    run.stages["infer"].images_per_second,
                    run.end_to_end.images_per_second,
                    run.bound_images_per_second,
                )
                print(
                    f"{form.model.form:10} {run.batch:5}",
                    *(f"{figure:10.1f}" for figure in figures),
                    f"{run.efficiency:10.2f}",
                )


if __name__ == "__main__":
    main()
