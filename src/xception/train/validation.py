"""Validation over all processes: every image is counted once, and none is doubled to make shares even."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import distributed

from xception.backends.base import Compute
from xception.backends.torch import TorchSession
from xception.bundle import Bundle, Score
from xception.data.source import Source
from xception.intervals import wilson
from xception.metrics import balanced_accuracy, macro_f1, roc_auc
from xception.models.network import Xception
from xception.pipeline.engine import Engine
from xception.tasks.evaluate import count_outcomes
from xception.tasks.tally import Tally
from xception.train.distributed import ProcessShare, gathered


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The figures of a validation; fractions, and None where no image decides them."""

    score: Score
    balanced_accuracy: float | None
    macro_f1: float | None
    roc_auc: float | None
    """Only for two classes."""


def validate(
    fabric: Fabric, bundle: Bundle, network: Xception, source: Source, *, batch_size: int = 8, workers: int = 2
) -> Validation:
    """Evaluate the network on `source`, of which each process takes a share; all return the figures of the whole.

    Raises:
        InputError: the source gives fewer or more images than it announced.
        CheckFailed: the logits are not numbers.
    """
    share = ProcessShare(source, fabric.global_rank, fabric.world_size)
    was_training = network.training
    if fabric.world_size > 1:
        # Weights are alike everywhere, but running statistics are each process' own since the last step.
        for buffer in network.buffers():
            distributed.broadcast(buffer, src=0)
    session = TorchSession(network, (None, None), Compute(threads=torch.get_num_threads()))
    tally = count_outcomes(Engine.of(bundle, session, batch_size=batch_size, workers=workers), share)
    tally.check_total(share.name, len(share))
    network.train(was_training)
    return _figures(gathered(fabric, _sums(tally)), len(source), has_top5=len(bundle.labels) > 5)


def _sums(tally: Tally) -> dict[str, Any]:
    """Counts and lists, which unlike fractions may be put together."""
    loss = tally.loss.mean(tally.seen) or 0.0
    return {
        "counts": np.array([tally.seen, len(tally.failures), tally.hits(1), tally.hits(5)]),
        "loss": loss * tally.seen,
        "confusion": tally.confusion,
        "margins": tuple(np.array(margins) for margins in tally.margins),
    }


def _figures(shares: list[dict[str, Any]], total: int, *, has_top5: bool) -> Validation:
    seen, failed, hits1, hits5 = map(int, sum(share["counts"] for share in shares))
    confusion = sum(share["confusion"] for share in shares)
    negatives, positives = (np.concatenate([share["margins"][side] for share in shares]) for side in (0, 1))
    score = Score(
        total=total,
        seen=seen,
        failed=failed,
        top1=wilson(hits1, seen),
        top5=wilson(hits5, seen) if has_top5 else None,
        loss=sum(share["loss"] for share in shares) / seen if seen else None,
    )
    return Validation(
        score=score,
        balanced_accuracy=balanced_accuracy(confusion),
        macro_f1=macro_f1(confusion),
        roc_auc=roc_auc(negatives, positives),
    )
