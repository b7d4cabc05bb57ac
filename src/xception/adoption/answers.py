"""The kind of numbers that a graph answers with: by its last operations, and by its answers to test images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xception.adoption.arithmetic import UNCHANGING
from xception.adoption.outline import GraphOutline, refuse
from xception.adoption.statements import OutputValues
from xception.errors import UsageError
from xception.metrics import Activation

LAST_OPERATIONS: dict[str, str] = {
    **dict.fromkeys(("Softmax", "SoftMax", "SOFTMAX"), "softmax"),
    **dict.fromkeys(("Sigmoid", "LOGISTIC"), "sigmoid"),
    **dict.fromkeys(("LogSoftmax", "LOG_SOFTMAX"), "log_softmax"),
}
"""Last operations after which the answers are known, by the names of all formats."""

BEHIND = UNCHANGING | {"Result", "Flatten", "Dropout"}
"""Operations that may follow them."""

MAX_SHORTFALL = 0.02
"""Distance from one at which probabilities still add up to it; in eight bits each is rounded to 1/256."""


@dataclass(frozen=True, kw_only=True)
class AnswerKind:
    """The kind of a graph's answers, and in a sentence how it is known."""

    output_values: OutputValues
    activation: Activation
    because: str


def ending(outline: GraphOutline, value: str) -> str | None:
    """The operation that makes the answers: a value of `LAST_OPERATIONS`, or None for any other."""
    while (maker := outline.maker(value)) is not None:
        if maker.kind in LAST_OPERATIONS:
            return LAST_OPERATIONS[maker.kind]
        if maker.kind not in BEHIND or not maker.inputs:
            return None
        value = maker.inputs[0]
    return None


def answer_kind(
    path: Path,
    end: str | None,
    answers: NDArray[np.float32],
    *,
    stated: OutputValues | None,
    activation: Activation | None,
) -> AnswerKind:
    """Decide what the answers are.

    Args:
        path: the file, for the error's sentence.
        end: see `ending`.
        answers: (N, K), of N test images.
        stated: the kind that the user states.
        activation: the activation that the user states.

    Raises:
        UsageError: a statement that contradicts the graph, or an open question.
        InputError: answers that are no numbers, or add up over something else than the classes.
    """
    if not np.isfinite(answers).all():
        raise refuse(path, "its answers to test images are not finite numbers", "export it again")
    found = _by_operation(path, end, answers) or _by_values(path, answers, stated, activation)
    if stated not in (None, found.output_values):
        raise UsageError(f"--output-values {stated} contradicts {path}: {found.because}; leave it out")
    if found.output_values == "probabilities" and activation not in (None, found.activation):
        raise UsageError(f"--activation {activation} contradicts {path}: {found.because}; leave it out")
    if found.activation == "softmax" and answers.shape[1] == 1:
        raise refuse(path, "a softmax over a single class is 1 for every image", "export its logit")
    return found


def _by_operation(path: Path, end: str | None, answers: NDArray[np.float32]) -> AnswerKind | None:
    match end:
        case "softmax":
            if not _adds_up(answers):
                raise refuse(
                    path,
                    f"its softmax does not add up to one over the {answers.shape[1]} answers of an image",
                    "export the network with its softmax over the classes",
                )
            return AnswerKind(output_values="probabilities", activation="softmax", because="it ends in a softmax")
        case "sigmoid":
            return AnswerKind(output_values="probabilities", activation="sigmoid", because="it ends in a sigmoid")
        case "log_softmax":
            because = "it ends in the logarithm of a softmax"
            return AnswerKind(output_values="logits", activation="softmax", because=because)
    return None


def _by_values(
    path: Path, answers: NDArray[np.float32], stated: OutputValues | None, activation: Activation | None
) -> AnswerKind:
    """The kind of answers behind an operation that tells nothing."""
    count, lowest, highest = len(answers), float(answers.min()), float(answers.max())
    usual: Activation = "softmax" if answers.shape[1] > 1 else "sigmoid"
    is_share = lowest >= 0 and highest <= 1
    if stated == "probabilities" and not is_share:
        raise UsageError(
            f"--output-values probabilities contradicts {path}, whose answers to test images reach from {lowest:.4g} "
            f"to {highest:.4g}; leave it out"
        )
    if stated != "logits" and is_share and answers.shape[1] > 1 and _adds_up(answers):
        because = f"its answers to {count} test images are probabilities that add up to one"
        return AnswerKind(output_values="probabilities", activation="softmax", because=because)
    if is_share and stated is None:
        raise UsageError(
            f"the answers of {path} to {count} test images all lie between 0 and 1, and no operation of it says why; "
            "say what they are with --output-values logits, or probabilities with --activation"
        )
    if stated == "probabilities":
        kind = activation if activation in ("softmax", "sigmoid") else "sigmoid"
        return AnswerKind(output_values="probabilities", activation=kind, because="as stated")
    because = f"its answers to {count} test images reach from {lowest:.4g} to {highest:.4g}"
    return AnswerKind(output_values="logits", activation=activation or usual, because=because)


def _adds_up(answers: NDArray[np.float32]) -> bool:
    return bool((np.abs(answers.astype(np.float64).sum(1) - 1) < MAX_SHORTFALL).all())
