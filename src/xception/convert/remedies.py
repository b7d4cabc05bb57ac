"""Ways to convert a file that does not fit by itself: sentences with the exact options that would work."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from xception.convert.match import Match


def remedy(match: Match) -> str:
    """The options with which a file is converted whose best match this is; "" if it needs none or nothing helps."""
    if (
        match.is_full
        or match.is_headless
        or not match.matched
        or (match.misshapen and not match.misfits_only_in_classifier)
    ):
        return ""
    unfit = match.classifier_tensors if match.misfits_only_in_classifier else ()
    patterns = patterns_of((*unfit, *match.unexpected), match.group.tensors)
    left_out = "".join(f" '{pattern}'" for pattern in patterns)
    leave_out = f"--leave-out{left_out}" if left_out else ""
    heads = " or ".join(f"--head {layer.layer} ({layer.num_classes} classes)" for layer in match.other_classifiers)
    choice = f"to take a layer of it as the classifier, pass {heads}; " if heads else ""
    pairs = " or ".join(if_relu(layer.sequence or layer.layer) for layer in match.two_layer_heads)
    choice += f"{pairs}; " if pairs else ""
    if match.lacks_only_classifier or match.misfits_only_in_classifier:
        flags = " ".join(filter(None, ("--new-head K", leave_out)))
        return f"{choice}to start with a new classifier of K classes, pass {flags}"
    if match.missing:
        return ""
    return f"{choice}to leave out what is not part of it, pass {leave_out}"


def if_relu(head: str) -> str:
    """The options that take a classifier of two layers, in words."""
    return f"if a ReLU is between its two layers, pass --head {head} --hidden-activation relu"


def patterns_of(names: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Few shell patterns that fit all `names` and nothing else among `others`."""
    wanted = tuple(names)
    kept = tuple(set(others) - set(wanted))
    patterns: list[str] = []
    for name in wanted:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            patterns.append(_pattern(name, kept))
    return tuple(patterns)


def _pattern(name: str, kept: tuple[str, ...]) -> str:
    """The shortest start of a name, up to a separator, that none of `kept` has."""
    starts = [name[: separator.end()] for separator in re.finditer(r"[./]", name)]
    return next((f"{start}*" for start in starts if not any(other.startswith(start) for other in kept)), name)
