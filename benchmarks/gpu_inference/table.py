"""The figures of `benchmarks.gpu` as a page."""

from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """# Inference on a GPU

`timm_xception` at 299 px with seeded weights, by `python -m benchmarks.gpu`: {environment}.
`xception` is the session of all verbs, from 8-bit images in pinned memory to logits in the host's, with three callers.
timm's network has its pixels on the device already and leaves its logits there.
Figures are medians of rounds that alternate, and the spread is that of the slowest and the fastest round.
The roofline is the rate that the device's own rates of arithmetic and memory allow, layer by layer.
Logits are compared with float32 on the CPU: the largest difference, in units of the largest.

| way | precision | batch | images/s | ms per batch | spread | of the roofline | logits |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def page(document: Mapping[str, Any]) -> str:
    """Rates by precision and batch size, the checks, and the way from files."""
    steps = document["steps"]
    lines = [
        HEAD.format(environment=_facts(steps.get("environment"))),
        *_rates(document["rows"]),
        "\n## Checks\n",
        *(f"- {name.removeprefix('check, ')}: {found}" for name, found in steps.items() if name.startswith("check, ")),
        "\n## From files\n",
        *_files(steps.get("files", "not measured")),
    ]
    return "\n".join(lines) + "\n"


def _facts(environment: Any) -> str:
    facts = environment if isinstance(environment, dict) else {}
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _rates(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        head = f"| {row['way']} | {row['precision']} | {row['batch']} |"
        if "reason" in row:
            yield f"{head} {row['reason'].replace('|', '/')} | | | | |"
            continue
        yield (
            f"{head} {row['images_per_second']:,.0f} | {row['ms']:.3f} | {row['spread']:.1%} | {row['roofline']:.0%} | "
            f"{row['logit_error']:.1e} |"
        )


def _files(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
        return
    for way, one in found.items():
        benchmark = one["benchmark"]
        yield (
            f"Prepared by {way}: `xception benchmark` on JPEG files of 500 x 375 px took {one['seconds']:.0f} s; "
            f"{benchmark['instances']} inferences at once, {benchmark['workers']} workers, "
            f"{benchmark['environment']['cores']} cores."
        )
        yield ""
        yield from _stages(benchmark["runs"])
        yield ""


def _stages(runs: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "| batch | end to end, images/s | read | preprocess | infer | postprocess | bottleneck |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for run in runs:
        whole, stages = run["end_to_end"], run["stages"]
        rates = " | ".join(f"{stage['images_per_second']:,.0f}" for stage in stages.values())
        total = f"{whole['images_per_second']:,.0f} [{whole['low']:,.0f}, {whole['high']:,.0f}]"
        yield f"| {run['batch']} | {total} | {rates} | {run['bottleneck']} |"
