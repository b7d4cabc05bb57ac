"""The facts that a checkpoint states about its network, wherever its source writes them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from xception.arch.spec import with_classes
from xception.bundle import Network
from xception.convert.keras_body import check_network
from xception.convert.keras_graph import stated_graph
from xception.convert.keras_hub import keras_hub_facts
from xception.convert.keras_stated import keras_facts
from xception.convert.lucid import lucid_facts
from xception.convert.match import Match
from xception.convert.mindcv_stated import mindcv_facts
from xception.convert.paddle_stated import paddle_facts
from xception.convert.readers import CheckpointContents
from xception.convert.readers.checkpoint import MODEL_FOLDER
from xception.convert.stated import NOTHING_STATED, StatedFacts
from xception.convert.timm_stated import argument_facts, timm_facts, trainer_facts
from xception.convert.zeromodels import zeromodels_facts
from xception.errors import InputError, UsageError
from xception.metrics import Activation

PACKAGE_FACTS: tuple[Callable[[CheckpointContents], StatedFacts | None], ...] = (
    keras_hub_facts,
    zeromodels_facts,
    lucid_facts,
)
"""Readers of configurations that name their package."""


RUN_CONFIG_FACTS: Mapping[str, Callable[[Mapping[str, Any], str], StatedFacts]] = {
    "PaddleClas": paddle_facts,
    "MindCV": mindcv_facts,
    "timm": argument_facts,
}
"""Readers of the configurations that lie next to checkpoints, by framework."""


def stated_facts(checkpoint: CheckpointContents, *, head: str | None = None, keeps_head: bool = True) -> StatedFacts:
    """Read all that a checkpoint states.

    Args:
        checkpoint: the file or model folder.
        head: the layer that is the classifier, where the model has several outputs.
        keeps_head: the classifier is taken over, so that what stands around it matters.

    Raises:
        InputError: something that is stated and not built here; the sentence names it.
    """
    packages = (facts for facts in (read(checkpoint) for read in PACKAGE_FACTS) if facts)
    found = next(packages, None)
    if found is not None:
        return found if keeps_head else replace(found, num_classes=None, activation=None)
    metadata = checkpoint.metadata
    graph = stated_graph(metadata.get("model_config"))
    if graph is not None:
        return keras_facts(graph, head=head, keeps_head=keeps_head)
    config, values = metadata.get("config"), metadata.get("values")
    if checkpoint.container == MODEL_FOLDER and isinstance(config, Mapping):
        return timm_facts(config)
    found = trainer_facts(values) if isinstance(values, Mapping) else NOTHING_STATED
    run = metadata.get("run_config")
    if found is not NOTHING_STATED or not isinstance(run, Mapping):
        return found
    return RUN_CONFIG_FACTS[run["framework"]](run["values"], f"{run['file']} next to it")


def check_match(checkpoint: CheckpointContents, match: Match, stated: StatedFacts) -> None:
    """Refuse tensors that are not those of the network that is stated; Keras 1 states networks in other words.

    Raises:
        InputError: another variant or operation, or other classes or channels.
    """
    found = {"num_classes": match.num_classes, "in_channels": match.spec.in_channels}
    for name, value in found.items():
        expected = getattr(stated, name)
        if expected not in (None, value) and value is not None and not (name == "num_classes" and expected == 0):
            raise InputError(
                f"{stated.place} states {name} {expected}, but the tensors have {value}; correct one of them"
            )
    graph = None if stated.source else stated_graph(checkpoint.metadata.get("model_config"))
    is_ours = graph is not None and not any(layer.kind.startswith("Convolution") for layer in graph.layers.values())
    if graph is not None and graph.has_calls and is_ours:
        spec = match.spec if match.num_classes else with_classes(match.spec, 0)
        check_network(graph.needed_for(stated.output or graph.outputs[0]), spec)
    if stated.variants and match.spec.name not in stated.variants:
        raise InputError(
            f"{stated.place} states the network {' or '.join(stated.variants)}, and the tensors are those of "
            f"{match.spec.name}; correct one of them"
        )


def with_stated(network: Network, stated: StatedFacts) -> Network:
    """The network with what is stated about it.

    Raises:
        UsageError: a fact that this variant cannot have.
    """
    if stated.source and stated.variants and network.variant not in stated.variants:
        raise UsageError(f"{stated.place} states the network {stated.variants[0]}; leave --variant out")
    usual = network.architecture()
    has = {
        "output_stride": usual.output_stride,
        "drop_rate": usual.head.drop_rate,
        "drop_path_rate": usual.drop_path_rate,
        "pooling": usual.head.pooling,
        "norm_epsilon": usual.norm.epsilon,
    }
    facts = {name: getattr(stated, name) for name, value in has.items() if getattr(stated, name) not in (None, value)}
    if stated.stackwise:
        facts |= {"stackwise_filters": stated.stackwise.filters, "stackwise_pooling": stated.stackwise.pooling}
    found = msgspec.structs.replace(network, **facts)
    found.architecture()
    return found


def activation_of(stated: StatedFacts, num_classes: int, wanted: Activation | None) -> Activation:
    """The way from the logits of a checkpoint to probabilities: as stated, as wanted, or the usual one.

    Logits of several classes are turned into probabilities by a softmax, that of a single one by a sigmoid, and
    embeddings by nothing.

    Raises:
        UsageError: another one is wanted than the file states, or one of embeddings.
    """
    if not num_classes:
        if wanted not in (None, "none"):
            raise UsageError(f"embeddings are no probabilities; leave --activation {wanted} out, or pass --new-head K")
        return "none"
    said = None if stated.activation == "none" else stated.activation
    if wanted and said and wanted != said:
        raise UsageError(f"{stated.place} states the activation {said}; leave --activation {wanted} out")
    return wanted or said or ("softmax" if num_classes > 1 else "sigmoid")
