"""A run that is set up: everything that training needs but the place where the run is kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from lightning_fabric import Fabric

from xception.bundle import Bundle
from xception.data.source import Source
from xception.data.training_images import Digests
from xception.goldens import Image8
from xception.train.batches import Batches
from xception.train.schedule import Course
from xception.train.settings import FreezeSettings
from xception.train.state import TrainingState
from xception.train.step import Stepper


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """Data, network, optimiser and devices of a run, as its recipe and data decide them."""

    fabric: Fabric
    course: Course
    freeze: FreezeSettings
    batches: Batches
    validation: Source
    in_files: bool
    """The data lie in files, at the places that the recipe names."""
    bundle: Bundle
    """The bundle that the run is to publish, without weights and metrics."""
    state: TrainingState
    stepper: Stepper
    parent_digests: Digests
    """The images that the bundle which the run starts from was trained on, as far as it tells."""
    golden_images: tuple[Image8, ...]
    """The images that the goldens of that bundle answer, and so do those of the one to be published."""
    own_parts: Mapping[str, str]
    """Name and hash of each part that a program brought along."""
