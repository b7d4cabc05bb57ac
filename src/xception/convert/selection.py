"""The choice of one group of weights and one variant where a checkpoint leaves it open."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from xception.arch.variants import resolve
from xception.convert.diagnosis import differences, why
from xception.convert.heads import layer_name
from xception.convert.match import Match, best_matches, is_same_quality, match_variants, twins
from xception.convert.readers import Checkpoint
from xception.convert.remedies import if_relu, patterns_of, remedy
from xception.convert.stated import NOTHING_STATED, StatedFacts
from xception.convert.weight_groups import WeightGroup, choose_groups, weight_groups
from xception.convert.weights_entry import WeightsEntry
from xception.errors import InputError, UsageError
from xception.metrics import Activation

HiddenActivation = Literal["relu"]
"""Functions between two layers of a classifier that are built."""


@dataclass(frozen=True, kw_only=True)
class WeightsChoice:
    """A user's decisions where a file leaves them open.

    Attributes:
        variant: the network; any of the diagnosis' candidates.
        group: the group of weights, by name.
        average: take the running average of the weights.
        leave_out: shell patterns of the file's tensors that are not to be taken over.
        head: the linear layer of the file that is the classifier, where several are or its name does not tell; of one
            with a hidden layer, its last layer or its `Sequential`.
        hidden_activation: the function between the two layers of the classifier, which no file of tensors states.
        new_head: start a new classifier with this many classes, all zeros; 0 leaves the classifier out, so that
            the bundle answers with embeddings.
        activation: the way from logits to probabilities, where the file states none.
    """

    variant: str | None = None
    group: str | None = None
    average: bool = False
    leave_out: Sequence[str] = ()
    head: str | None = None
    hidden_activation: HiddenActivation | None = None
    new_head: int | None = None
    activation: Activation | None = None


NO_CHOICE = WeightsChoice()


def with_variant(choice: WeightsChoice, published: WeightsEntry | None) -> WeightsChoice:
    """The choice with the variant of published weights, where the user named none.

    Raises:
        UsageError: the user's variant has other tensors than that of the published weights, or there is none of the
            name.
    """
    if choice.variant is None:
        return replace(choice, variant=published.variant if published else None)
    variant = resolve(choice.variant)
    if published and published.variant not in (variant, *twins(variant)):
        raise UsageError(
            f"{published.name} are weights of another network than {variant}; leave --variant or --weights out"
        )
    return choice


def choose_match(checkpoint: Checkpoint, choice: WeightsChoice, stated: StatedFacts = NOTHING_STATED) -> Match:
    """The one variant, source and group of weights that match fully, or all but a classifier that nothing states.

    Args:
        checkpoint: what was read.
        choice: the user's decisions.
        stated: what the checkpoint states about its network.

    Raises:
        InputError: none does, or a layer that is passed over may belong to the classifier.
        UsageError: several do, or there is nothing to leave out.
    """
    groups = _wanted_groups(checkpoint, choice, stated)
    usable = _usable([match for group in groups for match in match_variants(group)], choice, stated)
    wanted = [match for match in usable if choice.variant in (None, match.spec.name, *twins(match.spec.name))]
    if not wanted:
        raise InputError(f"{checkpoint.path} {_refusal(groups, usable, choice)}")
    if choice.hidden_activation and wanted[0].spec.head.hidden_features is None:
        raise UsageError(
            f"the classifier of {checkpoint.path} has one layer; leave --hidden-activation out, or name another with "
            "--head"
        )
    best = [match for match in wanted if is_same_quality(match, wanted[0])]
    variants = list(dict.fromkeys(match.spec.name for match in best))
    if choice.variant is None and len(variants) > 1:
        raise UsageError(f"{checkpoint.path} fits {' and '.join(variants)} alike; pass --variant with one of them")
    names = list(dict.fromkeys(match.group.name for match in wanted))
    if len(names) > 1:
        raise UsageError(
            f"{checkpoint.path} holds several full sets of weights; pass --group with one of {', '.join(names)}"
        )
    _check_single(best[0], checkpoint)
    return best[0]


def _check_single(match: Match, checkpoint: Checkpoint) -> None:
    """Refuse to drop a layer that may be a hidden one of the classifier that the user names.

    Raises:
        InputError: there is one, and the user says nothing of it.
    """
    taken, hidden = match.classifier, match.may_be_in_front
    if taken and hidden:
        is_pair = any(pair.layer == taken.layer for pair in match.two_layer_heads)
        both = f"{if_relu(taken.layer)}; " if is_pair else ""
        layers = [layer.layer for layer in hidden]
        own = [name for name in match.group.tensors if layer_name(name) in layers]
        patterns = " ".join(f"'{pattern}'" for pattern in patterns_of(own, match.group.tensors))
        raise InputError(
            f"{checkpoint.path} states nothing of {' and '.join(layers)}, which may be in front of {taken.layer}; "
            f"{both}to take {taken.layer} by itself, pass --leave-out {patterns}"
        )


def _wanted_groups(checkpoint: Checkpoint, choice: WeightsChoice, stated: StatedFacts) -> list[WeightGroup]:
    """The groups of weights that come into question, without what is to be left out."""
    groups = choose_groups(weight_groups(checkpoint, stated), name=choice.group, average=choice.average)
    # Among the outputs of a stated graph, the wanted one was found by its name.
    if choice.head is not None and stated.output is None:
        groups = [replace(group, head=choice.head) for group in groups]
    if choice.hidden_activation:
        groups = [replace(group, has_hidden=True) for group in groups]
    if not choice.leave_out:
        return groups
    names = [name for group in groups for name in group.tensors]
    unused = [pattern for pattern in choice.leave_out if not any(fnmatchcase(name, pattern) for name in names)]
    if unused:
        raise UsageError(f"no tensor of {checkpoint.path} is called {' or '.join(unused)}, so it cannot be left out")
    return [_without(group, choice.leave_out) for group in groups]


def _without(group: WeightGroup, patterns: Sequence[str]) -> WeightGroup:
    kept = {
        name: value
        for name, value in group.tensors.items()
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    return replace(group, tensors=kept)


def _usable(matches: list[Match], choice: WeightsChoice, stated: StatedFacts) -> list[Match]:
    """The full matches, and those without a classifier where a new one is asked for or none is to be expected."""
    full = [match for match in matches if match.is_full]
    has_named_head = choice.head is not None and stated.output is None
    is_whole_without = choice.new_head is not None or not (full or stated.has_classifier or has_named_head)
    return [match for match in matches if match.is_full or match.is_headless] if is_whole_without else full


def _refusal(groups: list[WeightGroup], usable: list[Match], choice: WeightsChoice) -> str:
    """The reason why nothing can be converted, and what could be."""
    if usable:
        fitting = " or ".join(dict.fromkeys(match.spec.name for match in usable))
        rivals = [match for group in groups for match in match_variants(group) if match.spec.name == choice.variant]
        return (
            f"does not fit {choice.variant}: {differences(rivals[0])}; it fits {fitting}, so pass --variant {fitting}"
        )
    matches = best_matches(groups)
    best = matches[0]
    if best.group.head is not None and best.classifier is None:
        pair = next((layer for layer in best.two_layer_heads if layer.is_called(best.group.head)), None)
        if pair and not best.group.has_hidden:
            return f"states nothing of what is between {pair.layers}; {if_relu(best.group.head)}"
        return f"has no linear layer {choice.head} behind the features of {best.spec.name}{_layers(groups)}"
    if best.is_headless:
        return (
            f"is {best.spec.name} without a classifier: {best.group.stated.place} states one, and the file has "
            "none; pass --new-head K to start one of K classes, or 0 for embeddings"
        )
    reason = why(matches)
    return f"cannot be converted: {reason}; {remedy(best) or 'xception info shows all differences'}"


def _layers(groups: list[WeightGroup]) -> str:
    best = best_matches([replace(group, head=None) for group in groups])[0]
    layers = [layer.layer for layer in (best.classifier, *best.other_classifiers) if layer]
    return f"; those that are there: {', '.join(layers)}" if layers else ", nor any other; leave --head out"
