"""A model's description in a few lines, for other programs to show."""

from xception.model_document import Model
from xception.preprocess import CropSquash, Preprocess, ShorterSide

IDENTITY_KEY = "xception"
"""Name under which each format keeps the whole description, as JSON."""


def summary(model: Model) -> str:
    """The model in a sentence."""
    parents = [step.parent for step in model.lineage if step.parent]
    origin = f", made from the bundle {parents[-1][:16]}" if parents else ""
    gate = {None: "", True: "; its accuracy was compared with its parent's and kept", False: "; its accuracy FAILED"}
    kind = "classifier" if model.network.num_classes else "encoder"
    return (
        f"{model.name}: an image {kind}, {model.network.title}, {model.network.answers}, "
        f"{model.precision}{origin}{gate[model.passed_gate]}"
    )


def task(model: Model) -> str:
    """The model's task by the name that model hubs have for it."""
    return "image-classification" if model.network.num_classes else "image-feature-extraction"


def normalizes_itself(model: Model) -> bool:
    """Tell whether the model's graph takes 8-bit images, and other programs are not to normalise them."""
    return model.graph is not None and model.graph.input_values == "image"


def input_words(model: Model) -> str:
    """The way from an image to the input of the model's file, in a sentence."""
    if normalizes_itself(model):
        return f"{', '.join(_steps(model.preprocess))}, 8-bit values, which the graph normalises itself"
    return preprocess_words(model.preprocess)


def preprocess_words(preprocess: Preprocess) -> str:
    """The way from an image to the network's input, in a sentence."""
    arithmetic = f"(x / {preprocess.divisor:g} - {preprocess.mean}) / {preprocess.std}"
    return ", ".join((*_steps(preprocess), arithmetic))


def _steps(preprocess: Preprocess) -> list[str]:
    """All steps but the normalisation."""
    steps: list[str] = [preprocess.color]
    if isinstance(preprocess.resize, ShorterSide):
        steps.append(f"shorter side to {preprocess.resize.px} px (longer: {preprocess.resize.long_side})")
    elif preprocess.resize:
        before = "largest centred part, " if isinstance(preprocess.resize, CropSquash) else ""
        steps.append(f"{before}squash to {preprocess.resize.width_px} x {preprocess.resize.height_px} px")
    if preprocess.resize:
        steps.append(f"{preprocess.interpolation} {'with' if preprocess.antialias else 'without'} antialias")
        steps += ["fractions kept"] * preprocess.fractions
    if preprocess.crop:
        crop = preprocess.crop
        steps.append(f"centre {crop.width_px} x {crop.height_px} px (margin: {crop.offset})")
    return steps


def properties(model: Model, names: tuple[str, ...]) -> dict[str, str]:
    """Facts by name, as texts: those that other programs look for."""
    parents = [step.parent for step in model.lineage if step.parent]
    return {
        "task": task(model),
        "names": "\n".join(names),
        "preprocess": input_words(model),
        "parent_digest": parents[-1] if parents else "",
        "lineage": " -> ".join(step.verb for step in model.lineage),
        "passed_gate": {None: "not judged", True: "true", False: "false"}[model.passed_gate],
    }
