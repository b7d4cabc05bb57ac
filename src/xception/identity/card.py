"""The model card of a bundle: `README.md`, with the front matter by which model hubs list it."""

import json
from collections.abc import Iterator

from xception.identity.words import input_words, summary, task
from xception.intervals import Interval
from xception.labels import Labels
from xception.model_document import Model, Score

CARD = "README.md"

MAX_CARD_CLASSES = 100

LIBRARIES = {"onnx": "onnx", "openvino": "openvino", "litert": "tflite", "weights": "safetensors"}
"""Names by which model hubs know the formats."""


def card_text(model: Model, labels: Labels) -> str:
    """The card in Markdown; everything in it stands in `model.json` too."""
    return "\n".join((*_front_matter(model), "", f"# {model.name}", "", *_body(model, labels), ""))


def _front_matter(model: Model) -> Iterator[str]:
    """YAML, whose texts are written as JSON, which YAML includes."""
    tags = [task(model), "xception", *filter(None, [LIBRARIES.get(model.form), model.network.variant])]
    tags += [model.precision] if model.precision != "float32" else []
    yield from ("---", "library_name: xception", f"pipeline_tag: {task(model)}", f"tags: {json.dumps(tags)}")
    scores = {data: score for data, score in model.metrics.items() if score.top1}
    if scores:
        yield from ("metrics: [accuracy]", "model-index:", f"- name: {json.dumps(model.name)}", "  results:")
    for data, score in scores.items():
        yield "  - task: {type: image-classification}"
        yield f"    dataset: {{name: {json.dumps(data)}, type: {json.dumps(data)}}}"
        yield f"    metrics: [{{type: accuracy, value: {score.top1.value if score.top1 else 0:.4f}}}]"
    yield "---"


def _body(model: Model, labels: Labels) -> Iterator[str]:
    yield f"{summary(model)}."
    yield from ("", "## Use", "", "```sh", "xception predict FOLDER photo.jpg", "xception info FOLDER", "```", "")
    yield "`FOLDER` is the one that holds this file."
    yield from ("", "## Images", "", f"{input_words(model)}.")
    yield from ("", "## Classes", "", *_classes(labels))
    yield from ("", "## Measured", "", *_measured(model))
    yield from ("", "## History", "", *_history(model))


def _classes(labels: Labels) -> Iterator[str]:
    if not labels.names:
        yield "None: the answer to an image is an embedding."
        return
    yield f"{len(labels)}, in the order of `labels.txt`:"
    yield ""
    yield from (f"{index}. {_plain(name)}" for index, name in enumerate(labels.names[:MAX_CARD_CLASSES]))
    if len(labels) > MAX_CARD_CLASSES:
        yield from ("", f"and {len(labels) - MAX_CARD_CLASSES} more.")


def _measured(model: Model) -> Iterator[str]:
    if not (model.metrics or model.agreement or model.passed_gate is not None):
        yield "Nothing was measured of these very files yet; `xception evaluate` does it."
    for data, score in model.metrics.items():
        yield f"- {_plain(data)}: {_score(score)}"
    if model.agreement:
        yield (
            f"- agreement with its parent: largest logit difference {model.agreement.relative_diff:.1e} of the largest "
            f"logit, the same class on {model.agreement.top1_agreement:.2%} of {model.agreement.samples} images"
        )
    if model.passed_gate is not None:
        yield f"- accuracy gate of the quantization: {'passed' if model.passed_gate else 'FAILED'}"


def _score(score: Score) -> str:
    return (
        f"top-1 {_percent(score.top1)}, top-5 {_percent(score.top5)}; {score.total} images = {score.seen} seen + "
        f"{score.failed} failed"
    )


def _percent(interval: Interval | None) -> str:
    return f"{interval.value:.2%} [{interval.low:.2%}, {interval.high:.2%}]" if interval else "unknown"


def _history(model: Model) -> Iterator[str]:
    if not model.lineage:
        yield "None is known."
    for step in model.lineage:
        origin = f" of the bundle `{step.parent}`" if step.parent else ""
        tools = ", ".join(f"{name} {version}" for name, version in step.tools.items())
        yield f"- {step.verb}{origin}{f', with {tools}' if tools else ''}"


def _plain(text: str) -> str:
    """A text in which nothing is taken for Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in text)
