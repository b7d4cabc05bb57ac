"""`xception prove`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.bundle import Precision, open_bundle
from xception.cli.options import Json, VendorOption
from xception.cli.output import print_facts, print_json, print_rows, say
from xception.cli.servers import DEFAULT_ACCESS, ServedModelName, ServedTensor, ServerAccess
from xception.errors import CheckFailed, UsageError
from xception.proof import Proof, prove_candidate, prove_server, write_golden_images

SERVERS = ("http://", "https://")


def prove(
    candidate: str | None = None,
    /,
    *,
    as_: Annotated[Path, Parameter(name="--as")],
    via: Annotated[tuple[Path, ...], Parameter(name="--via")] = (),
    vendor: VendorOption = None,
    computed_in: Precision | None = None,
    model: ServedModelName = None,
    tensor: ServedTensor = None,
    access: ServerAccess = DEFAULT_ACCESS,
    write_images: Path | None = None,
    json: Json = False,
) -> None:
    """Say whether something is the model that a bundle holds; exit code 1 if it is not.

    ```
    xception prove digits-onnx --as runs/digits/bundle
    xception prove digits-int8 --as runs/digits/bundle --via digits-onnx
    xception prove digits-onnx/model.onnx --as runs/digits/bundle
    xception prove http://127.0.0.1:8000 --as runs/digits/bundle --model digits
    xception prove --as runs/digits/bundle --write-images goldens
    ```

    Args:
        candidate: A bundle, a pack, an ONNX, OpenVINO or LiteRT file, or the URL of a server of the Open Inference
            Protocol. With --vendor, a folder of results.
        as_: Bundle whose model the candidate should be.
        via: Intermediate bundle, by which the candidate was made of --as. Its links are proven, too; may be repeated.
        computed_in: Numbers in which the results were computed (default: int8 for those of --vendor, the bundle's own
            for a server).
        write_images: Folder for the images whose answers the bundle holds. A chip's tools can then answer them.
    """
    reference = open_bundle(as_)
    if write_images:
        names = write_golden_images(reference, write_images)
        print_facts({"folder": str(write_images), "images": ", ".join(names)})
    if candidate is None:
        if not write_images:
            raise UsageError("no candidate was named; pass a bundle, a graph, a pack or results")
        return
    between = [open_bundle(path) for path in via]
    if candidate.startswith(SERVERS):
        client = access.client(candidate.rstrip("/").removesuffix("/v2"))
        name = model or reference.model.name
        proofs: tuple[Proof, ...] = (prove_server(client, name, reference, tensor=tensor, precision=computed_in),)
    else:
        proofs = prove_candidate(candidate, reference, via=between, vendor=vendor, precision=computed_in or "int8")
    if json:
        print_json({"proofs": proofs, "passed": all(proof.passed for proof in proofs)})
    else:
        for proof in proofs:
            _print(proof)
    if faults := [f"{proof.candidate} is not {proof.reference}: {fault}" for proof in proofs for fault in proof.faults]:
        raise CheckFailed("; ".join(faults))
    say(f"{candidate} is {as_}")


def _print(proof: Proof) -> None:
    print_facts(
        {
            "candidate": proof.candidate,
            "reference": f"{proof.reference}, digest {proof.digest[:12]}",
            "tolerance": f"{proof.tolerance:g} of the largest answer, in {proof.precision}",
        }
    )
    rows = [
        (
            str(result.golden),
            f"{result.relative_diff:.3g}",
            "-" if result.pixels_diff is None else f"{result.pixels_diff:.3g}",
            "same" if result.same_class else "another",
        )
        for result in proof.goldens
    ]
    print_rows(("golden", "answers differ by", "input by", "class"), rows)
    if proof.lineage:
        print_rows(
            ("step", "link", "because"), [(link.verb, link.status, link.reason) for link in proof.lineage], prose=True
        )
