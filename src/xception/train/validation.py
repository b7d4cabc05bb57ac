"""Validation over all processes: every image is counted exactly once."""

import torch
from lightning_fabric import Fabric
from torch import distributed

from xception.backends.base import Compute
from xception.backends.torch import TorchSession
from xception.bundle import Bundle
from xception.data.source import Source, is_multi_label
from xception.models.network import Xception
from xception.pipeline.engine import Engine
from xception.tasks.evaluate import count_outcomes
from xception.tasks.evaluation import Evaluation
from xception.train.distributed import ProcessShare, gathered
from xception.train.storage import Storage, read_document

VALIDATION = "validation.json"
"""The figures of the published weights on the validation part, in the run's folder."""


def validate(fabric: Fabric, bundle: Bundle, network: Xception, source: Source, *, batch_size: int = 8) -> Evaluation:
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
    session = TorchSession(network, (None, None), Compute(threads=torch.get_num_threads(), device=str(fabric.device)))
    engine = Engine.of(bundle, session, batch_size=batch_size)
    tally = count_outcomes(engine, share, multi_label=is_multi_label(source))
    tally.check_total(share.name, len(share))
    network.train(was_training)
    whole, *others = gathered(fabric, tally)
    for other in others:
        whole.include(other)  # type: ignore[arg-type]  # all are of one kind
    return whole.evaluation(bundle.model.name, source.name, session.facts.name, len(source))


def read_validation(storage: Storage) -> Evaluation | None:
    """The figures in a run's folder; None if the run left none.

    Raises:
        InputError: the file holds something else.
    """
    return read_document(storage, VALIDATION, Evaluation, "evaluation")
