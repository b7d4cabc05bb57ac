"""`xception export`"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.bundle import Bundle, open_bundle
from xception.cli.output import print_facts, say
from xception.data.sources import open_source
from xception.errors import UsageError
from xception.export.export import FOLDERS, PACKS, export_bundle, export_folder
from xception.export.packs.pack import INPUTS, Request
from xception.export.program import GraphOptions
from xception.tasks.agreement import data_pixels

PLAIN = GraphOptions()

NEXT = {
    "timm": 'next: timm.create_model("local-dir:{out}", pretrained=True)',
    "triton": "next: tritonserver --model-repository {parent}, or here: xception evaluate {out}/1 DATA",
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Packed:
    """Options of packs alone."""

    calibration: Annotated[
        str | None, Parameter(help="Images for a pack to calibrate int8 on, none of which may be among data.")
    ] = None
    inputs: Annotated[
        int, Parameter(help="How many images of data a pack prepares for the chip, balanced over the classes.")
    ] = INPUTS

    def request(self, bundle: Bundle, data: str | None) -> Request:
        """What the pack is made of."""
        if self.inputs < 1:
            raise UsageError("--inputs must be at least 1")
        calibration = open_source(self.calibration, "train") if self.calibration else None
        return Request(
            bundle=bundle, calibration=calibration, data=open_source(data) if data else None, inputs=self.inputs
        )


NOT_PACKED = Packed()


def export(
    bundle: Path,
    /,
    *,
    to: str,
    out: Path,
    data: str | None = None,
    upstream_python: str | None = None,
    packed: Packed = NOT_PACKED,
    options: Annotated[GraphOptions, Parameter(name="*")] = PLAIN,
    overwrite: bool = False,
) -> None:
    """Write a bundle's network in another form, after running it and comparing its logits.

    ```
    xception export runs/digits/bundle --to onnx --out digits-onnx
    xception export runs/digits/bundle --to openvino --out digits-openvino
    xception export runs/digits/bundle --to litert --image-input --softmax --out digits-litert
    xception export runs/digits/bundle --to onnx --opset 11 --fixed-batch 8 --out digits-onnx-8
    xception export xception41 --to timm --out timm-folder
    xception export xception41 --to ascend --calibration photos/train --data photos/val --out ascend-pack
    ```

    Args:
        bundle: The bundle with the weights.
        to: onnx, openvino, litert, pt2, torchscript or mindir; timm and triton write folders that these load; ascend
            and vastai write packs to carry to these chips.
        out: Folder of the new bundle.
        data: Images to compare on, besides black, white, gray and noise; for a pack labelled ones.
        upstream_python: An interpreter that has MindSpore, which mindir needs.
        overwrite: Replace a bundle that lies there.
    """
    opened = open_bundle(bundle)
    if packed != NOT_PACKED and to not in PACKS:
        raise UsageError(
            f"--calibration and --inputs are for packs ({', '.join(PACKS)}); for int8, see xception quantize"
        )
    if upstream_python and (to in FOLDERS or to in PACKS):
        raise UsageError(f"{to} is written by this interpreter; pass no --upstream-python")
    if to in FOLDERS:
        if data:
            raise UsageError(f"a folder for {to} is compared on black, white, gray and noise; pass no --data")
        print_facts({"folder": str(export_folder(opened, to, out, options=options, overwrite=overwrite))})
        say(NEXT[to].format(out=out, parent=out.parent))
        return
    if to in PACKS:
        if options != PLAIN:
            raise UsageError(f"the graphs of a pack are as {to}'s compiler needs them; leave their options out")
        _export_pack(packed.request(opened, data), to, out, overwrite=overwrite)
        return
    pixels = data_pixels(open_source(data), opened.model.preprocess) if data else None
    exported = export_bundle(
        opened, to, out, options=options, pixels=pixels, upstream_python=upstream_python, overwrite=overwrite
    )
    print_facts(_facts(exported))
    if to == "onnx":
        say(f"next: xception quantize {out} --calibration DATA --out {out}-int8")


def _export_pack(request: Request, to: str, out: Path, *, overwrite: bool) -> None:
    pack = import_module(PACKS[to]).write(request, out, overwrite=overwrite)
    print_facts({"pack": str(pack)})
    say(f"next: python3 {pack / 'verify.py'}, then {pack / 'README.md'}")


def _facts(exported: Bundle) -> dict[str, str]:
    measured = exported.model.agreement
    facts = {"bundle": str(exported.path), "size": f"{exported.size_bytes:,} bytes"}
    if measured:
        sizes = ", ".join(f"{height}x{width}" for height, width in measured.sizes_px)
        facts["agreement"] = (
            f"largest logit difference {measured.max_abs_diff:.1e} ({measured.relative_diff:.1e} relative), "
            f"top-1 {measured.top1_agreement:.2%} on {measured.samples} samples of {sizes} px "
            f"in batches of {', '.join(map(str, measured.batch_sizes))}"
        )
    return facts
