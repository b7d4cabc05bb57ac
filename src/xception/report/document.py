"""The content of a page before anything is drawn. All figures come from the documents that the tasks return."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from xception.bundle import Bundle
from xception.errors import UsageError
from xception.report.heading import Heading
from xception.speed.benchmark import Run
from xception.tasks.evaluation import Evaluation
from xception.train.logs import Epoch


@dataclass(frozen=True, kw_only=True)
class FormRow:
    """One form of the model with its measurements."""

    name: str
    bundle: Bundle
    evaluation: Evaluation
    run: Run


@dataclass(frozen=True, kw_only=True)
class MistakeCard:
    """A wrongly classified image and the places in it that the network saw the predicted class in.

    Raises:
        UsageError: a class map that is not a finite (H, W) array.
    """

    image: Image.Image
    class_map: npt.NDArray[np.floating]
    """(H, W) of any size, laid over the whole image; any range, larger is more evidence."""
    label: str
    predicted: str
    probability: float | None
    """Probability of the predicted class."""
    key: str

    def __post_init__(self) -> None:
        if self.class_map.ndim != 2 or not self.class_map.size or not np.isfinite(self.class_map).all():
            raise UsageError(
                f"the class map of {self.key!r} has the shape {self.class_map.shape} or values that are not finite; "
                "pass a finite (H, W) array"
            )


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole page. Confusions and unreadable images are those of the first form.

    Raises:
        UsageError: there is no form to report on.
    """

    heading: Heading
    history: tuple[Epoch, ...]
    """Log of the training; empty for a model that was not trained here."""
    forms: tuple[FormRow, ...]
    mistakes: tuple[MistakeCard, ...]
    environment: Mapping[str, str | int]

    def __post_init__(self) -> None:
        if not self.forms:
            raise UsageError("a report needs at least one form of the model; evaluate and benchmark one first")
