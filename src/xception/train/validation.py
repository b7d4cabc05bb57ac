"""Validation over all processes: every image is counted once, and none is doubled to make shares even."""

import torch
from lightning_fabric import Fabric
from torch import distributed

from xception.backends.base import Compute
from xception.backends.torch import TorchSession
from xception.bundle import Bundle, Score
from xception.data.source import Source
from xception.intervals import Interval, wilson
from xception.models.network import Xception
from xception.tasks.evaluate import Evaluation, evaluate
from xception.train.distributed import Share, summed


def validate(
    fabric: Fabric, bundle: Bundle, network: Xception, source: Source, *, batch_size: int = 8, workers: int = 2
) -> Score:
    """Judge the first process' network on `source`, of which each takes a share; all get the score of the whole.

    Raises:
        CheckFailed: the logits are not numbers.
    """
    share = Share(source, fabric.global_rank, fabric.world_size)
    was_training = network.training
    if fabric.world_size > 1:
        # Weights are alike everywhere, but running statistics are each process' own since the last step.
        for buffer in network.buffers():
            distributed.broadcast(buffer, src=0)
    session = TorchSession(network, (None, None), Compute(threads=torch.get_num_threads()))
    result = evaluate(bundle, session, share, batch_size=batch_size, workers=workers)
    network.train(was_training)
    return _score(summed(fabric, *_counts(result)), has_top5=len(bundle.labels) > 5)


def _counts(result: Evaluation) -> tuple[float, ...]:
    """Sums, which unlike fractions may be added up."""
    hits1, hits5 = (_hits(interval, result.seen) for interval in (result.top1, result.top5))
    return result.total, result.seen, result.failed, hits1, hits5, (result.loss or 0.0) * result.seen


def _hits(interval: Interval | None, seen: int) -> int:
    return round(interval.value * seen) if interval else 0


def _score(counts: list[float], *, has_top5: bool) -> Score:
    total, seen, failed, hits1, hits5 = map(round, counts[:5])
    return Score(
        total=total,
        seen=seen,
        failed=failed,
        top1=wilson(hits1, seen),
        top5=wilson(hits5, seen) if has_top5 else None,
        loss=counts[5] / seen if seen else None,
    )
