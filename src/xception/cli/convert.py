"""`xception convert`"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from xception.bundle import Bundle, ensure_free_for_bundle
from xception.cli.models import local_file, told_from_images
from xception.cli.options import Json, Out, Overwrite, UpstreamPython
from xception.cli.output import (
    certificate_sentence,
    class_list,
    command,
    head_sentence,
    print_facts,
    print_json,
    propose,
)
from xception.convert.catalog import resolve_entry
from xception.convert.conversion import UNSTATED_POOLING, Conversion, convert_checkpoint
from xception.convert.diagnosis import dropped_sentences
from xception.convert.input_channels import StemRule, adapt_input_channels
from xception.convert.selection import HiddenActivation, WeightsChoice
from xception.errors import UsageError
from xception.extras import require_all
from xception.labels import Labels, read_labels
from xception.metrics import Activation
from xception.resolve import ModelPlace, look_up, packages_to_get
from xception.tasks.certify import certify_conversion


def convert(
    file: str,
    /,
    *,
    out: Out,
    variant: str | None = None,
    weights: str | None = None,
    labels: Path | None = None,
    group: str | None = None,
    ema: bool = False,
    leave_out: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    head: str | None = None,
    hidden_activation: HiddenActivation | None = None,
    new_head: int | None = None,
    activation: Activation | None = None,
    in_channels: int | None = None,
    stem: StemRule = "repeat",
    certify: bool = False,
    upstream_python: UpstreamPython = None,
    upstream_code: Path | None = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Make a bundle of any checkpoint; a file is refused if one of its tensors does not fit the network.

    ```
    xception convert model_best.pth.tar --ema --labels flowers.txt --out flowers
    xception convert m.h5 --out m --certify --upstream-python ~/keras/bin/python
    xception convert hf-hub:timm/xception41p.ra3_in1k --out xception41p
    ```

    Args:
        file: A checkpoint or a model folder; or a URL, hf-hub:OWNER/NAME or published weights, which are fetched.
        variant: Network to choose, where the file fits several.
        weights: Published weights whose network, preprocessing and classes the file has (default: by its checksum).
        labels: Class names, one per line.
        group: Name of the set of weights to take, where a file has several; xception info shows the names.
        ema: Take the running average of the weights.
        leave_out: Patterns of superfluous tensors, such as 'criterion.*'.
        head: Name of the file's linear layer that is its classifier, or of the sequence of two layers that is.
        hidden_activation: Function between the two layers of the classifier, which the file does not state.
        new_head: Number of classes of a new classifier in place of the file's. 0 leaves it out, for embeddings.
        activation: Function from logits to probabilities, where the file states none; sigmoid for a single class.
        in_channels: Number of channels of your images, if the file's differs. The first convolution is fitted to it.
        stem: Way in which --in-channels fits the convolution: repeat its channels, or sum them up for gray images.
        certify: Run the source's own framework on the same file and compare logits before anything is written.
        upstream_code: Checkout of the source's repository, where the network is in no package.
    """
    ensure_free_for_bundle(out, overwrite=overwrite)
    if certify and in_channels:
        raise UsageError("--certify compares the weights as they are in the file; leave --in-channels out")
    choice = WeightsChoice(variant=variant, group=group, average=ema, leave_out=leave_out, head=head)
    choice = replace(choice, hidden_activation=hidden_activation, new_head=new_head, activation=activation)
    require_all(*packages_to_get(file))
    conversion = _converted(look_up(file), choice, weights, read_labels(labels) if labels else None)
    if certify:
        conversion = certify_conversion(conversion, python=upstream_python, code=upstream_code)
    if in_channels:
        conversion = adapt_input_channels(conversion, in_channels, stem)
    _report(conversion.write(out, overwrite=overwrite), conversion, json=json)


def _converted(place: ModelPlace, choice: WeightsChoice, weights: str | None, labels: Labels | None) -> Conversion:
    entry = resolve_entry(weights) if weights else place.entry
    with told_from_images(str(place.path or place.address)):
        return convert_checkpoint(local_file(place), choice, entry=entry, labels=labels, name=place.name)


def _report(bundle: Bundle, conversion: Conversion, *, json: bool) -> None:
    if json:
        print_json({"path": str(bundle.path), **msgspec.to_builtins(bundle.model)})
        return
    print_facts(_facts(bundle, conversion))
    following = command("evaluate", bundle.path, "DATA")
    if not bundle.model.network.num_classes:
        following = command("train", "finetune", "--from", bundle.path, "--data", "DATA")
    propose(command("predict", bundle.path, "photo.jpg"), following)


def _facts(bundle: Bundle, conversion: Conversion) -> dict[str, str]:
    match, network = conversion.match, bundle.model.network
    step, is_embedding = bundle.model.lineage[-1], not network.num_classes
    facts = {
        "bundle": str(bundle.path),
        "variant": network.title,
        "read as": f"{step.settings['container']}, names of {match.source}"
        + f", group {match.group.name}" * bool(match.group.name),
        "tensors": f"{match.matched} matched, {len(match.missing)} missing, {len(match.unexpected)} unexpected",
        **({"classifier": f"its layer {match.classifier.layer}"} if match.classifier else {}),
        **({"dropped": "; ".join(dropped_sentences(match))} if match.dropped else {}),
        "answers": network.answers if is_embedding else class_list(bundle.labels.names),
        "head": head_sentence(bundle.model),
        "input": f"{network.in_channels} x {' x '.join(map(str, bundle.model.preprocess.output_px or ('any', 'any')))}",
    }
    if UNSTATED_POOLING in step.settings:
        facts["pooling"] = str(step.settings[UNSTATED_POOLING])
    if "dropped_classifier" in step.settings:
        facts["dropped"] = str(step.settings["dropped_classifier"])
    if bundle.model.certificate:
        facts["certificate"] = certificate_sentence(bundle.model.certificate, network)
    return facts
