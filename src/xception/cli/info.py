"""`xception info`"""

import re
from pathlib import Path

import msgspec

from xception.adoption.adopt import read_graph
from xception.arch.variants import VARIANTS, resolve
from xception.backends.graphs import GraphFacts, describe_graph
from xception.bundle import MANIFEST, Bundle, Model
from xception.cli.list import WeightsRow, describe, describe_entry
from xception.cli.models import local_file, open_model, told_from_images
from xception.cli.options import Json, NoVerify
from xception.cli.output import (
    agreement_sentence,
    certificate_sentence,
    class_list,
    head_sentence,
    percent,
    print_facts,
    print_json,
)
from xception.cli.vendor_files import describe_vendor_files
from xception.convert.diagnosis import Diagnosis, diagnose, published_as
from xception.convert.readers import check_graph_file, read_checkpoint
from xception.convert.readers.tensorbundle import index_path
from xception.errors import InputError, MissingExtra, install_command
from xception.extras import require_all
from xception.forms import FORMS, describable
from xception.identity.identity import read_identity
from xception.identity.words import input_words, preprocess_words, properties
from xception.report.drawing import write_drawing
from xception.resolve import look_up, packages_to_get

PLAIN_NAME = re.compile(r"\w+", re.ASCII)

ORIGIN = ("lineage", "parent_digest", "passed_gate")
"""Facts of a file's own description that say where it comes from."""

Described = tuple[dict[str, object], dict[str, str]]
"""A JSON document, and what of it is for the screen."""


def info(target: str, /, *, no_verify: NoVerify = False, drawing: Path | None = None, json: Json = False) -> None:
    """Say what a variant, a published weights file, a bundle, a checkpoint or a graph is.

    ```
    xception info keras_xception
    xception info keras_xception --drawing keras_xception.svg
    xception info keras_xception.imagenet
    xception info hf-hub:timm/xception65.ra3_in1k
    xception info runs/digits/bundle --json
    xception info model_best.pth.tar
    xception info keras-xception-vdsp_params.json
    ```

    Args:
        target: The name of a variant or of published weights, a bundle's folder, a checkpoint of any source, or an
            ONNX, OpenVINO or LiteRT file. hf-hub:OWNER/NAME and a URL name a checkpoint, which is fetched unless it is
            known. Vendors' files on compilation and preprocessing are searched for contradictions.
        drawing: Write a drawing of the variant to this file, as SVG.
    """
    if drawing:
        write_drawing(VARIANTS[resolve(target)], drawing)
    with told_from_images(target):
        document, facts = _describe(target, verify=not no_verify)
    if json:
        print_json(document)
    else:
        print_facts(facts)


def _describe(target: str, *, verify: bool) -> Described:
    if PLAIN_NAME.fullmatch(target) and not index_path(Path(target)).exists():
        return _describe_variant(target)
    place = look_up(target)
    if place.entry:
        row = describe_entry(place.entry)
        return {"kind": "weights", **msgspec.to_builtins(row)}, _entry_facts(row)
    require_all(*packages_to_get(target))
    return _describe_path(local_file(place), verify=verify)


def _describe_variant(name: str) -> Described:
    document = {"kind": "variant", **msgspec.to_builtins(describe(VARIANTS[resolve(name)]))}
    return document, {key: str(value) for key, value in document.items()}


def _describe_path(path: Path, *, verify: bool) -> Described:
    vendor = describe_vendor_files(path)
    if vendor:
        return vendor
    if any((path / name).is_file() for name in (MANIFEST, f"bundle/{MANIFEST}")):
        bundle = open_model(str(path), verify=verify)
        return {"kind": "bundle", "path": str(bundle.path), **msgspec.to_builtins(bundle.model)}, _bundle_facts(bundle)
    if path.suffix.lower() in describable():
        check_graph_file(path)
        graph = describe_graph(path)
        document, facts = _own_words(path)
        if not document:
            document, facts = _inspected(path)
        return (
            {"path": str(path), **msgspec.to_builtins(graph), **document},
            {"graph": str(path), **_graph_facts(graph), **facts},
        )
    document, facts = _own_words(path) if path.is_file() else ({}, {})
    if document and path.suffix.lower() != FORMS["weights"].suffix:
        return {"path": str(path), **document}, {"graph": str(path), **facts}
    checkpoint = read_checkpoint(path)
    diagnosis, published = diagnose(checkpoint), published_as(checkpoint)
    weights = published.name if published else None
    document = {"path": str(path), "weights": weights, **msgspec.to_builtins(diagnosis), **document}
    return document, {"checkpoint": str(path), "published as": weights or "-", **_checkpoint_facts(diagnosis), **facts}


def _inspected(path: Path) -> Described:
    """The origin of a graph of others, or why it is not adopted; empty where the package that reads it is missing."""
    try:
        outline = read_graph(path)
    except MissingExtra:
        return {}, {}
    except InputError as error:
        return {"refused": str(error)}, {"refused": str(error)}
    document: dict[str, object] = {
        "producer": outline.producer,
        "version": outline.opset,
        "precision": outline.precision,
        "operations": len(outline.operations),
    }
    facts = {name: str(value) for name, value in document.items()}
    return document, facts | {"to use it": f"xception adopt {path} --preprocess SOURCE --out DIR"}


def _own_words(path: Path) -> Described:
    """The description in a file that this package wrote, wherever it lies now; empty for all others."""
    own = read_identity(path)
    if own is None:
        return {}, {}
    model = own.model
    facts = {
        "name": model.name,
        "variant": model.network.title,
        "precision": model.precision,
        "classes": class_list(own.names),
        "images": input_words(model),
        **{name: value for name, value in properties(model, ()).items() if name in ORIGIN and value},
        "written by": f"xception {own.version}",
    }
    return {"identity": msgspec.to_builtins(own)}, facts


def _checkpoint_facts(diagnosis: Diagnosis) -> dict[str, str]:
    facts = {
        "container": f"{diagnosis.container}, mostly {diagnosis.dtype}",
        "groups": ", ".join(name or "one without a name" for name in diagnosis.groups),
        "examined": diagnosis.group or "the one without a name",
        "variant": diagnosis.variant or f"none for certain; candidates {', '.join(diagnosis.candidates) or 'none'}",
        "because": diagnosis.why,
        "tensors": f"{diagnosis.matched} matched",
    }
    if diagnosis.source:
        facts["network"] = f"{diagnosis.num_classes or 'no'} classes, {diagnosis.in_channels} channels"
    for kind in ("missing", "unexpected", "misshapen"):
        names = getattr(diagnosis, kind)
        if names:
            facts[kind] = f"{len(names)}: {', '.join(names)}"
    facts |= {"refused": diagnosis.refused} if diagnosis.refused else {}
    return facts | ({"to convert it": diagnosis.remedy} if diagnosis.remedy else {})


def _graph_facts(graph: GraphFacts) -> dict[str, str]:
    if graph.inputs is None or graph.outputs is None:
        return {
            "format": graph.format,
            "ports": f"unknown; run: {install_command(FORMS[graph.format].extra or graph.format)}",
        }
    ports = [("input", port) for port in graph.inputs] + [("output", port) for port in graph.outputs]
    lines = {f"{kind} {port.name}": f"{port.dtype}, {' x '.join(map(str, port.shape))}" for kind, port in ports}
    return {"format": graph.format, **lines}


def _bundle_facts(bundle: Bundle) -> dict[str, str]:
    model = bundle.model
    facts = {
        "bundle": str(bundle.path),
        "name": model.name,
        "variant": model.network.title,
        **_origin(model),
        "form": f"{model.form}, {model.precision}, {bundle.size_bytes:,} bytes",
        "answers": class_list(bundle.labels.names) if bundle.labels.names else model.network.answers,
        "head": head_sentence(model),
        "input": f"{model.network.in_channels} x {' x '.join(map(str, model.preprocess.output_px or ('any', 'any')))}",
        "digest": model.digest,
    }
    for data, score in model.metrics.items():
        facts[f"top-1 on {data}"] = f"{percent(score.top1)} of {score.seen} seen, {score.failed} failed"
    if model.agreement:
        facts["agreement"] = agreement_sentence(model.agreement, model.network)
    if model.certificate:
        facts["certificate"] = certificate_sentence(model.certificate, model.network)
    if model.passed_gate is not None:
        facts["gate"] = "passed" if model.passed_gate else "FAILED"
    facts["lineage"] = " -> ".join(step.verb for step in model.lineage)
    return facts


def _origin(model: Model) -> dict[str, str]:
    """The file that an adopted graph came from."""
    settings = model.lineage[0].settings if model.lineage else {}
    if "producer" not in settings:
        return {}
    return {"adopted from": f"{settings['file']}, {settings['opset']}, written by {settings['producer']}"}


def _entry_facts(entry: WeightsRow) -> dict[str, str]:
    known = {
        "weights": entry.name,
        "file": entry.file,
        "fetched from": entry.reference,
        "checksum": entry.digest,
        "classes": f"{entry.num_classes} ({entry.labels})",
        "preprocess": preprocess_words(entry.preprocess),
    }
    facts = {name: value or "unknown" for name, value in known.items()}
    for index, row in enumerate(entry.reported, 1):
        top5 = "" if row.top5 is None else f", top-5 {row.top5:.3%}"
        facts[f"reported {index}"] = f"top-1 {row.top1:.3%}{top5} ({row.where}, {row.date or 'undated'})"
    return facts | {f"note {index}": defect for index, defect in enumerate(entry.defects, 1)}
