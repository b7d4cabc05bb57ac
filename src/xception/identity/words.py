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
    return (
        f"{model.name}: an image classifier, {model.network.title}, {model.network.num_classes} classes, "
        f"{model.precision}{origin}{gate[model.passed_gate]}"
    )


def preprocess_words(preprocess: Preprocess) -> str:
    """The way from an image to the network's input, in a sentence."""
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
    return ", ".join((*steps, f"(x / {preprocess.divisor:g} - {preprocess.mean}) / {preprocess.std}"))


def properties(model: Model, names: tuple[str, ...]) -> dict[str, str]:
    """Facts by name, as texts: those that other programs look for."""
    parents = [step.parent for step in model.lineage if step.parent]
    return {
        "task": "image-classification",
        "names": "\n".join(names),
        "preprocess": preprocess_words(model.preprocess),
        "parent_digest": parents[-1] if parents else "",
        "lineage": " -> ".join(step.verb for step in model.lineage),
        "passed_gate": {None: "not judged", True: "true", False: "false"}[model.passed_gate],
    }
