"""`xception info`"""

from pathlib import Path

import msgspec

from xception.arch.variants import VARIANTS, resolve
from xception.bundle import Bundle, open_bundle
from xception.cli.list import describe
from xception.cli.output import percent, print_facts, print_json


def info(target: str, /, *, verify: bool = False, json: bool = False) -> None:
    """Say what a variant or a bundle is.

    ```
    xception info keras_xception
    xception info runs/digits/bundle --verify --json
    ```

    Args:
        target: A variant's name, or a bundle's folder.
        verify: Compare every byte of a bundle with its hashes.
        json: Print one JSON document.
    """
    if Path(target).exists():
        bundle = open_bundle(Path(target), verify=verify)
        document = {"kind": "bundle", "path": str(bundle.path), **msgspec.to_builtins(bundle.model)}
        facts = _bundle_facts(bundle)
    else:
        document = {"kind": "variant", **msgspec.to_builtins(describe(VARIANTS[resolve(target)]))}
        facts = {key: str(value) for key, value in document.items()}
    if json:
        print_json(document)
    else:
        print_facts(facts)


def _bundle_facts(bundle: Bundle) -> dict[str, str]:
    model = bundle.model
    facts = {
        "bundle": str(bundle.path),
        "name": model.name,
        "variant": model.network.variant,
        "form": f"{model.form}, {model.precision}, {bundle.size_bytes:,} bytes",
        "classes": f"{len(bundle.labels)} ({', '.join(bundle.labels.names[:3])}, ...)",
        "input": f"{model.network.in_channels} x {' x '.join(map(str, model.preprocess.output_px or ('any', 'any')))}",
        "digest": model.digest,
    }
    for data, score in model.metrics.items():
        facts[f"top-1 on {data}"] = f"{percent(score.top1)} of {score.seen} seen, {score.failed} failed"
    if model.agreement:
        facts["agreement"] = (
            f"relative difference {model.agreement.relative_diff:.1e}, top-1 {model.agreement.top1_agreement:.2%} "
            f"on {model.agreement.samples} samples"
        )
    if model.passed_gate is not None:
        facts["gate"] = "passed" if model.passed_gate else "FAILED"
    facts["lineage"] = " -> ".join(step.verb for step in model.lineage)
    return facts
