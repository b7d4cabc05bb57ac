"""Validation over all processes: every image is counted once, and none is doubled to make shares even."""

import torch
from lightning_fabric import Fabric
from torch import distributed

from xception.backends.base import Compute
from xception.backends.torch import TorchSession
from xception.bundle import Bundle, Score
from xception.data.source import Source
from xception.intervals import wilson
from xception.models.network import Xception
from xception.pipeline.engine import Engine
from xception.tasks.evaluate import Tally, count_outcomes
from xception.train.distributed import ProcessShare, summed


def validate(
    fabric: Fabric, bundle: Bundle, network: Xception, source: Source, *, batch_size: int = 8, workers: int = 2
) -> Score:
    """Evaluate the network on `source`, of which each process takes a share; all return the score of the whole.

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
    return _score(summed(fabric, len(share), *_counts(tally)), has_top5=len(bundle.labels) > 5)


def _counts(tally: Tally) -> tuple[float, ...]:
    """Sums, which unlike fractions may be added up: seen, failed, top-1 and top-5 hits, and the loss."""
    loss = tally.loss.mean(tally.seen) or 0.0
    return tally.seen, len(tally.failures), tally.hits(1), tally.hits(5), loss * tally.seen


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
