"""The change that a lower precision makes in the answers of a bundle, by its own goldens."""

import msgspec
import numpy as np

from xception.backends.base import run_in_batches
from xception.goldens import read_goldens
from xception.pipeline.engine import Engine


class PrecisionChange(msgspec.Struct, frozen=True, kw_only=True):
    """The difference of an engine's answers from those that the bundle keeps."""

    precision: str
    images: int
    largest: float
    """Largest change of a number, relative to the largest."""
    other_classes: int | None
    """Images that get another likeliest class; None of a model without classes."""

    def sentence(self) -> str:
        """The change in words."""
        if self.other_classes is None:
            return f"{self.precision}: embeddings within {self.largest:.2%} of float32 on {self.images} kept images"
        same = f"another class for {self.other_classes}" if self.other_classes else "the same classes"
        return f"{self.precision}: logits within {self.largest:.2%} of float32 on {self.images} kept images, {same}"


def change_by_precision(engine: Engine) -> PrecisionChange | None:
    """The change by the engine's precision; None where the bundle keeps no answers, or they were given in it."""
    goldens = read_goldens(engine.bundle)
    if not goldens or engine.precision == engine.bundle.model.precision:
        return None
    truth = np.stack([golden.logits for golden in goldens])
    found = np.stack([run_in_batches(engine.session, golden.pixels[None], 1)[0] for golden in goldens])
    classes = (found.argmax(1) != truth.argmax(1)).sum() if engine.bundle.labels.names else None
    return PrecisionChange(
        precision=engine.precision,
        images=len(goldens),
        largest=float(np.abs(found - truth).max() / max(float(np.abs(truth).max()), np.finfo(np.float32).tiny)),
        other_classes=None if classes is None else int(classes),
    )
