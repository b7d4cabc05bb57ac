"""`xception export`"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.bundle import Bundle, open_bundle
from xception.cli.models import open_model
from xception.cli.options import ModelOption, NoVerify, Out, Overwrite, UpstreamPython
from xception.cli.output import agreement_sentence, command, print_facts, propose
from xception.data.sources import open_source, open_undivided, packages_for
from xception.export.program import GraphOptions
from xception.export.request import PACK_INPUTS, ExportRequest, check_taken
from xception.export.targets import ExportTarget, export_target, targets_sentence, write_export
from xception.extras import require_all
from xception.interchange.vamc import CalibrateMode
from xception.pipeline.requirements import packages_to_run
from xception.platforms import shell_line
from xception.quantize.parent import holds_int8_parent
from xception.resolve import packages_to_get

PLAIN = GraphOptions()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Options of packs."""

    calibration: Annotated[
        str | None, Parameter(help="Images to calibrate int8 on, for a pack. None of them may be among --data.")
    ] = None
    calibrate_mode: Annotated[
        CalibrateMode | None,
        Parameter(help="Rule by which VastAI's compiler chooses ranges for int8 (default: max)."),
    ] = None
    inputs: Annotated[
        int | None,
        Parameter(
            help=f"Number of images of --data that a pack prepares for the chip, balanced over the classes (default: "
            f"{PACK_INPUTS})."
        ),
    ] = None


NO_PACK = PackOptions()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options of services in a cluster."""

    storage_uri: str | None = None
    """Place of the bundle for a cluster, such as s3://BUCKET/FOLDER or pvc://CLAIM/FOLDER."""
    image: str | None = None
    """Container image of the server for a cluster (default: NAME:DIGEST of the bundle)."""
    prometheus: str | None = None
    """Address of the cluster's Prometheus, which knows how long images wait (default: that of its own operator)."""


NO_CLUSTER = ClusterOptions()


def export(
    model: ModelOption,
    /,
    *,
    to: Annotated[str, Parameter(help=f"Target. {targets_sentence()}")],
    out: Out,
    data: str | None = None,
    upstream_python: UpstreamPython = None,
    pack: PackOptions = NO_PACK,
    cluster: ClusterOptions = NO_CLUSTER,
    options: Annotated[GraphOptions, Parameter(name="*")] = PLAIN,
    no_verify: NoVerify = False,
    overwrite: Overwrite = False,
) -> None:
    r"""Write the network of a model in another form, after running it and comparing its logits.

    ```
    xception export runs/digits/bundle --to onnx --out digits-onnx
    xception export runs/digits/bundle --to openvino --out digits-openvino
    xception export runs/digits/bundle --to litert --image-input \
        --probabilities --out digits-litert
    xception export runs/digits/bundle --to onnx --opset 11 --fixed-batch 8 \
        --out digits-onnx-8
    xception export keras_xception.imagenet --to onnx --out keras-xception-onnx
    xception export xception41 --to timm --out timm-folder
    xception export xception41 --to ascend --calibration photos/train \
        --data photos/val --out ascend-pack
    xception export xception41 --to kserve --out flowers \
        --storage-uri s3://models/flowers
    ```

    Args:
        data: Data set, to compare logits on in addition to black, white, gray and noise. A pack needs labels, too.
    """
    target = export_target(to)
    given = {"data": data, **vars(pack), **vars(cluster), "upstream_python": upstream_python}
    # Before the data are opened, which may take long.
    check_taken(to, {name for name, value in given.items() if value is not None}, target.takes)
    getting = packages_to_run(model) if target.takes_any else packages_to_get(model)
    require_all(*getting, *target.packages, *packages_for(data, pack.calibration))
    request = ExportRequest(
        bundle=open_model(model, verify=not no_verify),
        to=to,
        out=out,
        options=options,
        data=open_source(data) if data else None,
        calibration=open_undivided(pack.calibration, "train") if pack.calibration else None,
        calibrate_mode=pack.calibrate_mode,
        inputs=PACK_INPUTS if pack.inputs is None else pack.inputs,
        upstream_python=upstream_python,
        **vars(cluster),
        overwrite=overwrite,
    )
    path = write_export(request)
    print_facts({target.kind: str(path), **(_facts(open_bundle(path)) if target.kind == "bundle" else {})})
    if following := _next(target, path):
        places = {"out": shell_line([str(path)]), "parent": shell_line([str(path.parent)])}
        propose(following.format(xception=command(), **places))


def _next(target: ExportTarget, path: Path) -> str:
    """The next command, which is one that takes what was written."""
    if target.kind == "bundle" and holds_int8_parent(open_bundle(path)):
        return "{xception} quantize {out} --calibration DATA --out {out}-int8"
    return target.next


def _facts(exported: Bundle) -> dict[str, str]:
    measured = exported.model.agreement
    facts = {"size": f"{exported.size_bytes:,} bytes"}
    if measured:
        sizes = ", ".join(f"{height}x{width}" for height, width in measured.sizes_px)
        batches = ", ".join(map(str, measured.batch_sizes))
        sentence = agreement_sentence(measured, exported.model.network)
        facts["agreement"] = f"{sentence} of {sizes} px in batches of {batches}"
    return facts
