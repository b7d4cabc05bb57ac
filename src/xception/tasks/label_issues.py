"""Images whose labels are likely wrong, by confident learning (Northcutt et al. 2021) as cleanlab has it."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from xception.extras import require
from xception.metrics import Activation, probabilities
from xception.tasks.evaluation import Evaluation, LabelIssue, LabelIssues
from xception.tasks.kept_logits import AllLogits, KeptLogits

MAX_LABEL_ISSUES = 48


def label_issues(
    found: AllLogits, names: Sequence[str], activation: Activation, key: Callable[[int], str]
) -> LabelIssues:
    """The images whose labels the model contradicts more than it usually errs.

    Args:
        found: the logits of all images.
        names: the classes, in the order of the logits.
        activation: the way from logits to probabilities.
        key: the name of an image by its place among all.

    Raises:
        MissingExtra: cleanlab is not installed.
    """
    search = require("cleanlab.filter", "labels").find_label_issues
    shares = probabilities(np.asarray(found.logits, np.float32), activation)
    shares /= shares.sum(axis=1, keepdims=True)
    # One process, since a copy of this one would have the runtime's threads half.
    suspects = np.flatnonzero(search(found.targets, shares, n_jobs=1))
    own = shares[suspects, found.targets[suspects]]
    rows = sorted(zip(own.tolist(), (key(int(found.places[row])) for row in suspects), suspects.tolist(), strict=True))
    return LabelIssues(
        count=len(rows),
        candidates=tuple(
            LabelIssue(
                path=path,
                label=names[found.targets[row]],
                label_probability=probability,
                suggested=names[int(shares[row].argmax())],
                probability=float(shares[row].max()),
            )
            for probability, path, row in rows[:MAX_LABEL_ISSUES]
        ),
    )


def with_label_issues(
    result: Evaluation, kept: KeptLogits, activation: Activation, key: Callable[[int], str]
) -> Evaluation:
    """The evaluation with the images whose labels are likely wrong, if all logits were kept; see `label_issues`."""
    found = kept.read()
    issues = label_issues(found, result.labels, activation, key) if found else None
    return msgspec.structs.replace(result, label_issues=issues)
