"""`xception convert`"""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from xception.bundle import Bundle, ensure_free
from xception.cli.output import certificate_sentence, print_facts, print_json, say
from xception.convert.load import Choice, Converted, load
from xception.labels import read_labels
from xception.tasks.certify import certified


def convert(
    file: Path,
    /,
    *,
    out: Path,
    variant: str | None = None,
    labels: Path | None = None,
    group: str | None = None,
    ema: bool = False,
    leave_out: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    new_head: int | None = None,
    certify: bool = False,
    upstream_python: str | None = None,
    upstream_code: Path | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Make a bundle of any checkpoint; one that does not fit a network tensor by tensor is refused.

    ```
    xception convert xception_weights.h5 --out keras-xception
    xception convert model_best.pth.tar --ema --labels flowers.txt --out flowers
    xception convert model.h5 --out faces --certify --upstream-python ~/keras/bin/python
    ```

    Args:
        file: A checkpoint of any source, or a model folder of timm or Hugging Face.
        out: Folder of the new bundle.
        variant: The network, where the file fits several.
        labels: Class names, one a line.
        group: The set of weights to take, by the name that xception info shows.
        ema: Take the running average of the weights.
        leave_out: Patterns of superfluous tensors, such as 'criterion.*'.
        new_head: Start a new classifier of this many classes instead of the file's.
        certify: Run the source's own framework on the same file and compare logits before anything is written.
        upstream_python: The Python interpreter of an environment that has the framework.
        upstream_code: A checkout of the source's repository, where the network is in no package.
        overwrite: Replace a bundle that lies there.
        json: Print one JSON document.
    """
    ensure_free(out, overwrite=overwrite)
    choice = Choice(variant=variant, group=group, average=ema, leave_out=leave_out, new_head=new_head)
    converted = load(file, choice, labels=read_labels(labels) if labels else None)
    if certify:
        converted = certified(converted, python=upstream_python, code=upstream_code)
    bundle = converted.write(out, overwrite=overwrite)
    if json:
        print_json({"path": str(bundle.path), **msgspec.to_builtins(bundle.model)})
        return
    print_facts(_facts(bundle, converted))
    say(f"next: xception evaluate {out} DATA")


def _facts(bundle: Bundle, converted: Converted) -> dict[str, str]:
    fit, network = converted.fit, bundle.model.network
    step = bundle.model.lineage[-1]
    facts = {
        "bundle": str(bundle.path),
        "variant": network.variant,
        "read as": f"{step.settings['container']}, names of {fit.source}"
        + f", group {fit.weights.name}" * bool(fit.weights.name),
        "tensors": f"{fit.matched} matched, {len(fit.missing)} missing, {len(fit.unexpected)} unexpected",
        "classes": f"{len(bundle.labels)} ({', '.join(bundle.labels.names[:3])}, ...)",
        "input": f"{network.in_channels} x {' x '.join(map(str, bundle.model.preprocess.output_px or ('any', 'any')))}",
    }
    if bundle.model.certificate:
        facts["certificate"] = certificate_sentence(bundle.model.certificate)
    return facts
