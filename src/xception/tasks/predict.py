"""Class probabilities for images without labels, in one call."""

from collections.abc import Iterable
from pathlib import Path

from xception.bundle import Bundle
from xception.data.memory import ImageLike
from xception.pipeline.engine import Engine
from xception.tasks.predictions import Predictions


def predict(
    bundle: Bundle | str | Path,
    images: ImageLike | Iterable[ImageLike],
    *,
    top: int = 5,
    threshold: float | None = None,
    backend: str | None = None,
) -> Predictions:
    """Classify images, and return an entry for each in order: its likeliest classes, or the reason why it has none.

    This loads the model anew; to classify more than once, use `xception.load`.

    Args:
        bundle: the model, or its folder.
        images: a file, folder, archive or URL of images; or several images, as paths, encoded files, Pillow images or
            8-bit arrays.
        top: classes per image.
        threshold: all classes of at least this probability in place of the likeliest ones, see `Engine.predict`.
        backend: see `Engine.open`.

    Raises:
        InputError: no bundle, no images, or something that is no image.
    """
    with Engine.open(bundle, backend=backend) as engine:
        return Predictions(engine.predict(images, top=top, threshold=threshold, max_wait_s=None))
