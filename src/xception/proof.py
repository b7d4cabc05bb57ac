"""The proof that something is the model of a bundle: by its answers to the goldens, and by its lineage.

A candidate is another bundle, a graph file, a vendor's pack, or results that came back from a chip. Each answers the
goldens of the reference bundle; the differences are held against the tolerance of the candidate's precision.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from PIL import Image

from xception.adoption.adopt import adopt
from xception.adoption.statements import GraphStatements
from xception.backends.base import Logits
from xception.bundle import Bundle, Model, Precision, Step, open_bundle
from xception.errors import CheckFailed, InputError, UsageError
from xception.export.packs import verify
from xception.extras import require_all
from xception.forms import describable
from xception.goldens import Golden, answer_goldens, answers, read_goldens
from xception.inputs import MODEL_LIMIT, read_bytes
from xception.interchange.vendor_answers import Unreadable
from xception.metrics import log_softmax
from xception.oip.client import OipClient
from xception.outputs import ensure_free, staged_folder
from xception.pipeline.requirements import packages_to_run
from xception.resolve import bundle_folder
from xception.sealed import hash_of
from xception.tasks.served_goldens import ask_goldens
from xception.tasks.vendor_results import Vendor, read_results

GOLDEN_TOLERANCES: Mapping[Precision, float] = {"float32": 1e-5, "float16": 2e-2, "int8": 0.3}
"""Largest difference of a golden's answers over the largest answer of all goldens, by the coarser of both precisions.
Float32 and float16 as for exports. Eight bits change answers by up to a quarter where they keep the accuracy."""

INT8_AGAIN = 2e-2
"""The same between two int8 models: those of one file differ by the rounding of processors, those of two by more."""

IMAGE_NAME = "golden-{:d}.png"

Status = Literal["proven", "stated", "broken"]


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the result document."""


class GoldenResult(_Document, frozen=True):
    """A candidate's answer to one golden."""

    golden: int
    relative_diff: float
    """Largest difference over the largest answer of all goldens."""
    same_class: bool
    pixels_diff: float | None = None
    """Largest difference of the network's input, where the candidate has preprocessing of its own."""


class Link(_Document, frozen=True):
    """One step of a model's history."""

    verb: str
    parent: str | None
    """Digest of the bundle that it started from."""
    status: Status
    """Proven by a certificate or by goldens, only stated in `model.json`, or contradicted."""
    reason: str


class Proof(_Document, frozen=True):
    """Result of a proof."""

    candidate: str
    reference: str
    digest: str
    """Digest of the reference."""
    precision: Precision
    tolerance: float
    goldens: tuple[GoldenResult, ...]
    lineage: tuple[Link, ...]
    faults: tuple[str, ...]
    """Reasons why the candidate is not the model; none if it is."""

    @property
    def passed(self) -> bool:
        """True if the candidate is the model."""
        return not self.faults


def prove_candidate(
    candidate: str | Path,
    reference: Bundle,
    *,
    via: Sequence[Bundle] = (),
    vendor: Vendor | None = None,
    precision: Precision = "int8",
) -> tuple[Proof, ...]:
    """Find out whether something is the model of a bundle; one result for each graph that it holds.

    Args:
        candidate: a bundle, a graph file, a pack, or with `vendor` a folder of results for the goldens' images.
        reference: the bundle that it is to be.
        via: bundles between the two, whose links are then proven too.
        vendor: the vendor whose tools wrote the results.
        precision: numbers in which results were computed.

    Raises:
        InputError: the candidate cannot be opened or run, or the reference has no goldens.
        CheckFailed: a pack that is not whole.
    """
    path = Path(candidate)
    if not vendor and path.is_dir() and bundle_folder(path):
        return (prove_bundle(open_bundle(path), reference, via),)
    goldens = _goldens(reference)
    if vendor:
        results = _results(path, vendor, reference, goldens)
        model = msgspec.structs.replace(reference.model, precision=precision)
        return (_proof(path, reference, model, _compared(results, goldens, reference), (), ()),)
    graphs = _pack_graphs(path) if (path / verify.MANIFEST).is_file() else [path]
    return tuple(_prove_graph(graph, reference, goldens, via) for graph in graphs)


def prove_server(
    client: OipClient, name: str, reference: Bundle, *, tensor: str | None = None, precision: Precision | None = None
) -> Proof:
    """Find out whether a server answers with the model of a bundle.

    Args:
        client: the server.
        name: the model's name there.
        reference: the bundle that it is to be.
        tensor: see `ask_goldens`, which has the errors too.
        precision: numbers in which the server computes; by default those of the bundle.
    """
    goldens = _goldens(reference)
    served = ask_goldens(client, name, reference, goldens, tensor)
    found = _compared(served.answers, goldens, reference)
    others = []
    if served.labels is not None and served.labels != reference.labels.names:
        others.append(_names_fault(served.labels, reference.labels.names))
    own = reference.model.digest
    reason = f"the server states the digest {served.digest or 'of nothing'}, and was sent {served.tensor!r}"
    link = Link(verb="serve", parent=own, status="stated", reason=reason)
    model = msgspec.structs.replace(reference.model, precision=precision or reference.model.precision)
    return _proof(f"{client.url}/v2/models/{name}", reference, model, found, (link,), others)


def prove_bundle(candidate: Bundle, reference: Bundle, via: Sequence[Bundle] = ()) -> Proof:
    """Find out whether a bundle is the model of another one, or made of it by the steps that its history tells."""
    goldens = _goldens(reference)
    found = _compared_bundle(candidate, goldens)
    links = tuple(_links(candidate, reference, via, found))
    others = [_labels_fault(candidate, reference)] if candidate.labels != reference.labels else []
    return _proof(candidate.path, reference, candidate.model, found, links, others)


def write_golden_images(reference: Bundle, out: Path) -> tuple[str, ...]:
    """Write the goldens' images as PNG files, for a chip's tools; returns their names.

    Raises:
        InputError: the place holds something, or the bundle has no goldens.
    """
    ensure_free(out)
    names = []
    with staged_folder(out) as folder:
        for number, golden in enumerate(_goldens(reference)):
            names.append(IMAGE_NAME.format(number))
            Image.fromarray(golden.image).save(folder / names[-1])
    return tuple(names)


def _goldens(reference: Bundle) -> tuple[Golden, ...]:
    found = read_goldens(reference)
    if found:
        return found
    require_all(*packages_to_run(reference))
    made = answer_goldens(reference)
    if not made:
        raise InputError(f"{reference.path} has no goldens and nothing here runs it; make the bundle again")
    return made


def _coarser(one: Model, other: Model) -> Precision:
    return max((one.precision, other.precision), key=lambda precision: GOLDEN_TOLERANCES[precision])


def _tolerance(one: Model, other: Model) -> float:
    return INT8_AGAIN if one.precision == other.precision == "int8" else GOLDEN_TOLERANCES[_coarser(one, other)]


def _compared_bundle(candidate: Bundle, goldens: Sequence[Golden]) -> list[GoldenResult]:
    """A bundle's answers to images, by its own preprocessing."""
    pixels = [candidate.model.preprocess(Image.fromarray(golden.image)) for golden in goldens]
    apart = [
        float(np.abs(one - golden.pixels).max()) if one.shape == golden.pixels.shape else float("inf")
        for one, golden in zip(pixels, goldens, strict=True)
    ]
    return [
        msgspec.structs.replace(result, pixels_diff=diff)
        for result, diff in zip(_differences(answers(candidate, pixels), goldens), apart, strict=True)
    ]


def _differences(given: Sequence[Logits], goldens: Sequence[Golden]) -> Iterator[GoldenResult]:
    largest = max(float(np.abs(golden.logits).max()) for golden in goldens) or 1.0
    for number, (answer, golden) in enumerate(zip(given, goldens, strict=True)):
        fits = answer.shape == golden.logits.shape and bool(np.isfinite(answer).all())
        yield GoldenResult(
            golden=number,
            relative_diff=float(np.abs(answer - golden.logits).max()) / largest if fits else float("inf"),
            same_class=fits and bool(answer.argmax() == golden.logits.argmax()),
        )


def _proof(
    candidate: Path | str,
    reference: Bundle,
    model: Model,
    found: Sequence[GoldenResult],
    links: Sequence[Link],
    others: Sequence[str],
) -> Proof:
    """The document on a candidate, of whose model only the precision counts."""
    tolerance = _tolerance(model, reference.model)
    broken = [f"its step {link.verb} is broken: {link.reason}" for link in links if link.status == "broken"]
    return Proof(
        candidate=str(candidate),
        reference=str(reference.path),
        digest=reference.model.digest,
        precision=_coarser(model, reference.model),
        tolerance=tolerance,
        goldens=tuple(found),
        lineage=tuple(links),
        faults=(*_golden_faults(found, tolerance), *others, *broken),
    )


def _golden_faults(found: Sequence[GoldenResult], tolerance: float) -> Iterator[str]:
    worst = max(found, key=lambda result: result.relative_diff)
    if not worst.relative_diff <= tolerance:
        pixels = worst.pixels_diff
        yield (
            f"golden {worst.golden} differs by {worst.relative_diff:.2g} of the largest answer, more than {tolerance:g}"
            + (f", and its input by {pixels:.2g}" if pixels else "")
        )


def _labels_fault(candidate: Bundle, reference: Bundle) -> str:
    return _names_fault(candidate.labels.names, reference.labels.names)


def _names_fault(ours_all: Sequence[str], theirs_all: Sequence[str]) -> str:
    pairs = list(zip(ours_all, theirs_all, strict=False))
    index, (ours, theirs) = next(
        ((number, pair) for number, pair in enumerate(pairs) if pair[0] != pair[1]), (len(pairs), ("", ""))
    )
    return (
        f"class {index} is called {ours!r} instead of {theirs!r}"
        if ours != theirs
        else f"it has {len(ours_all)} classes instead of {len(theirs_all)}, or other identifiers of them"
    )


def _links(
    candidate: Bundle, reference: Bundle, via: Sequence[Bundle], found: Sequence[GoldenResult] = ()
) -> Iterator[Link]:
    """The steps of the candidate's history, oldest first, and whether the reference is in it.

    `found` are the candidate's answers to the reference's goldens, if it gave them already.
    """
    steps = candidate.model.lineage
    known = {bundle.model.digest: bundle for bundle in (*via, reference, candidate)}
    for number, step in enumerate(steps):
        made, parent = _made_by(steps[: number + 1], candidate, known), known.get(step.parent or "")
        if made and parent:
            is_found = made is candidate and parent is reference
            yield _compared_link(step, made, parent, found if is_found else ())
        else:
            yield _uncompared_link(step, made)
    digest, ancestors = reference.model.digest, {step.parent for step in steps}
    is_parent = candidate.model.digest in {step.parent for step in reference.model.lineage}
    if digest not in ancestors | {candidate.model.digest} and not is_parent:
        # Answers in float32 tell two models apart by themselves; coarser ones do not.
        is_coarse = _coarser(candidate.model, reference.model) != "float32"
        reason = f"{digest[:12]} is not among its ancestors" + ("" if is_coarse else ", and only its answers tell")
        yield Link(verb="origin", parent=digest, status="broken" if is_coarse else "stated", reason=reason)


def _made_by(steps: tuple[Step, ...], candidate: Bundle, known: Mapping[str, Bundle]) -> Bundle | None:
    """The bundle that a step made, if it is at hand."""
    if steps == candidate.model.lineage:
        return candidate
    return next((bundle for bundle in known.values() if bundle.model.lineage == steps), None)


def _uncompared_link(step: Step, made: Bundle | None) -> Link:
    certificate = made and made.model.certificate
    if certificate:
        versions = " ".join(next(iter(certificate.versions.items())))
        reason = f"certified by {versions} within {certificate.agreement.relative_diff:.1e} of the largest logit"
        return Link(verb=step.verb, parent=step.parent, status="proven", reason=reason)
    origin = f" from {step.settings['file']}" if "file" in step.settings else ""
    reason = f"stated by model.json{origin}; " + (
        "no certificate" if step.parent is None else f"the bundle {step.parent[:12]} is not at hand"
    )
    return Link(verb=step.verb, parent=step.parent, status="stated", reason=reason)


def _compared_link(step: Step, made: Bundle, parent: Bundle, found: Sequence[GoldenResult]) -> Link:
    if made.model.lineage[:-1] != parent.model.lineage:
        reason = f"its history before is another one than that of {parent.path}"
        return Link(verb=step.verb, parent=step.parent, status="broken", reason=reason)
    if step.verb == "train":
        reason = f"it starts from {parent.path}, and training changes the weights"
        return Link(verb=step.verb, parent=step.parent, status="stated", reason=reason)
    worst = max(result.relative_diff for result in found or _compared_bundle(made, _goldens(parent)))
    tolerance = _tolerance(made.model, parent.model)
    within = worst <= tolerance
    reason = f"goldens of {parent.path} differ by {worst:.2g}, {'within' if within else 'more than'} {tolerance:g}"
    return Link(verb=step.verb, parent=step.parent, status="proven" if within else "broken", reason=reason)


def _prove_graph(path: Path, reference: Bundle, goldens: Sequence[Golden], via: Sequence[Bundle]) -> Proof:
    """A graph file by itself: it gets the goldens' pixels, and is looked for in the bundles that are at hand."""
    if path.suffix.lower() not in describable():
        raise UsageError(
            f"{path} is no bundle, pack or graph ({', '.join(describable())}); to prove results, name their --vendor"
        )
    model = reference.model
    statements = GraphStatements(preprocess=model.preprocess, labels=reference.labels, activation=model.activation)
    adoption = adopt(path, statements)
    found = _compared_bundle(adoption.unwritten(), goldens)
    owner = _owner(path, (reference, *via))
    links = [] if owner is None else list(_links(owner, reference, via))
    if owner is None and adoption.model.precision != model.precision and adoption.model.precision != "float32":
        reason = (
            f"answers in {adoption.model.precision} could be those of another parent, and no bundle at hand holds this "
            "file; name its own bundle with --as or --via"
        )
        links = [Link(verb="origin", parent=model.digest, status="broken", reason=reason)]
    return _proof(path, reference, adoption.model, found, links, ())


def _owner(path: Path, bundles: Sequence[Bundle]) -> Bundle | None:
    """The bundle that holds this very file."""
    entry = hash_of(read_bytes(path, MODEL_LIMIT))
    return next((bundle for bundle in bundles if entry in bundle.model.files.values()), None)


def _pack_graphs(folder: Path) -> list[Path]:
    """The float graphs of a pack, after every file of it was compared with its hash."""
    try:
        manifest = verify.check_pack(folder)
    except verify.Fault as fault:
        raise CheckFailed(f"{folder} is not the pack that was written: {fault}") from fault
    found = [folder / name for name in sorted(manifest["files"]) if name.endswith(tuple(describable()))]
    if not found:
        raise InputError(f"{folder} holds no graph that runs here; expected {', '.join(describable())}")
    return found


def _results(path: Path, vendor: Vendor, reference: Bundle, goldens: Sequence[Golden]) -> list[Logits]:
    """Answers of a vendor's tool to the goldens' images, in their order."""
    found: dict[str, Logits] = {}
    for outcome in read_results(vendor, path, reference.model.network.num_classes):
        if isinstance(outcome, Unreadable) or outcome.scores is None:
            reason = outcome.reason if isinstance(outcome, Unreadable) else "names classes instead of scores"
            raise InputError(f"the result of {outcome.path} cannot be compared: it {reason}")
        found[Path(outcome.path).stem] = np.asarray(outcome.scores[int(outcome.background) :], np.float32)
    names = [Path(IMAGE_NAME.format(number)).stem for number in range(len(goldens))]
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"{path} has no result of {missing[0]}; expected one per image that xception prove --write-images wrote"
        )
    return [found[name] for name in names]


def _compared(given: Sequence[Logits], goldens: Sequence[Golden], reference: Bundle) -> list[GoldenResult]:
    """Results as logits, or as probabilities, whose logarithms are compared then."""
    are_probabilities = all(abs(float(row.sum()) - 1) < 1e-2 and row.min() >= 0 for row in given)
    if not are_probabilities or reference.model.activation != "softmax":
        return list(_differences(given, goldens))
    floor = float(np.finfo(np.float32).tiny)
    ours = [np.log(np.maximum(row, floor)).astype(np.float32) for row in given]
    theirs = [Golden(golden.image, golden.pixels, log_softmax(golden.logits[None])[0]) for golden in goldens]
    return list(_differences(ours, theirs))
