from collections.abc import Iterator
from itertools import islice
from unittest.mock import patch

import pytest
import torch
from msgspec.structs import replace

from tests.support.samples import CLASSES, labelled
from tests.train.samples import small_recipe, with_unreachable
from xception.backends.base import Compute
from xception.backends.torch import TorchSession
from xception.bundle import Bundle, Network
from xception.data.source import Item
from xception.errors import EnvironmentFault, InputError
from xception.models.network import Xception, build
from xception.pipeline.engine import Engine
from xception.tasks.evaluate import evaluate
from xception.train.distributed import ProcessShare, launch
from xception.train.result import empty_bundle
from xception.train.settings import ComputeSettings
from xception.train.validation import validate


@pytest.fixture
def bundle() -> Bundle:
    return empty_bundle(small_recipe(), labelled(1))


@pytest.fixture
def network(bundle: Bundle) -> Xception:
    return build(Network(variant="mini_xception", num_classes=len(CLASSES), in_channels=3, width=0.5).architecture())


def test_the_score_is_that_of_an_evaluation(bundle: Bundle, network: Xception) -> None:
    fabric, _ = launch(ComputeSettings())
    source = labelled(13, broken=(3,))
    validation = validate(fabric, bundle, network, source)
    # Another number of threads may choose other kernels, whose last bits differ.
    session = TorchSession(network, (None, None), Compute(threads=torch.get_num_threads()))
    evaluation = evaluate(Engine.of(bundle, session), source)
    assert (validation.total, validation.seen, validation.failed) == (13, 12, 1)
    assert validation.loss == pytest.approx(evaluation.loss, rel=1e-12)
    for figure in ("top1", "top5", "confusion", "balanced_accuracy", "macro_f1", "macro", "failures"):
        assert getattr(validation, figure) == getattr(evaluation, figure)
    # Those of curves need all scores at once, which a run does not keep.
    without_areas = [replace(entry, roc_auc=None, average_precision=None) for entry in evaluation.classes]
    assert list(validation.classes) == without_areas
    assert [one.path for one in validation.mistakes] == [one.path for one in evaluation.mistakes]


def test_a_server_that_does_not_answer_ends_the_validation(bundle: Bundle, network: Xception) -> None:
    with pytest.raises(EnvironmentFault, match="503"):
        validate(launch(ComputeSettings())[0], bundle, network, with_unreachable(4, 2))


@pytest.mark.parametrize("training", [True, False])
def test_the_network_goes_on_in_its_mode(bundle: Bundle, network: Xception, training: bool) -> None:
    network.train(training)
    validate(launch(ComputeSettings())[0], bundle, network, labelled(2))
    assert network.training is training


def test_a_source_that_gives_fewer_images_than_it_announced_is_noticed(bundle: Bundle, network: Xception) -> None:
    class Shrunk(ProcessShare):
        def __iter__(self) -> Iterator[Item]:
            return islice(super().__iter__(), 2)

    fabric, _ = launch(ComputeSettings())
    with (
        patch("xception.train.validation.ProcessShare", Shrunk),
        pytest.raises(InputError, match="announced 3 images and gave 2"),
    ):
        validate(fabric, bundle, network, labelled(3))
