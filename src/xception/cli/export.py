"""`xception export`"""

from pathlib import Path

from xception.bundle import open_bundle
from xception.cli.output import print_facts, say
from xception.export.formats import FOLDERS, export_bundle, export_folder


def export(bundle: Path, /, *, to: str, out: Path, overwrite: bool = False) -> None:
    """Write a bundle's network in another form, after running it and comparing its logits.

    ```
    xception export runs/digits/bundle --to onnx --out digits-onnx
    xception export runs/digits/bundle --to openvino --out digits-openvino
    xception export xception41 --to timm --out timm-folder
    ```

    Args:
        bundle: The bundle with the weights.
        to: onnx or openvino; timm writes a model folder that timm loads.
        out: Folder of the new bundle.
        overwrite: Replace a bundle that lies there.
    """
    if to in FOLDERS:
        print_facts({"folder": str(export_folder(open_bundle(bundle), to, out, overwrite=overwrite))})
        say(f'next: timm.create_model("local-dir:{out}", pretrained=True)')
        return
    exported = export_bundle(open_bundle(bundle), to, out, overwrite=overwrite)
    measured = exported.model.agreement
    facts = {"bundle": str(exported.path), "size": f"{exported.size_bytes:,} bytes"}
    if measured:
        facts["agreement"] = (
            f"largest logit difference {measured.max_abs_diff:.1e} ({measured.relative_diff:.1e} relative), "
            f"top-1 {measured.top1_agreement:.2%} on {measured.samples} samples"
        )
    print_facts(facts)
    if to == "onnx":
        say(f"next: xception quantize {out} --calibration DATA --out {out}-int8")
