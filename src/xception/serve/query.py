"""The query of a request to `/v1/classify`, and what it may say."""

from collections.abc import Mapping
from dataclasses import dataclass

from xception.errors import UsageError
from xception.pipeline.prediction import check_threshold
from xception.serve.model import ServedModel
from xception.serve.refusal import Refusal

MAX_TOP, MAX_TIMEOUT_MS = 10**6, 10**9

QUERY_PARAMETERS = {
    "model": {"type": "string"},
    "top": {"type": "integer", "minimum": 1, "maximum": MAX_TOP},
    "threshold": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "timeout_ms": {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS},
    "maps": {"type": "integer", "enum": [0, 1]},
    "seen": {"type": "integer", "enum": [0, 1]},
}
"""JSON schemas of all that a query may have, by name."""

QUERY_FLAGS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions:
    """The options of a request."""

    top: int = 5
    threshold: float | None = None
    """In place of the `top` likeliest classes, all of at least this probability."""
    maps: bool = False
    """The reply has the class-activation map of each image."""
    seen: bool = False
    """The reply has each image as the network sees it."""
    timeout_s: float | None = None


def classify_options(query: Mapping[str, str], model: ServedModel) -> ClassifyOptions:
    """Options from a query.

    Raises:
        Refusal: one does not exist, or has a value that it cannot have or that does not fit the model.
    """
    if unknown := next((name for name in query if name not in QUERY_PARAMETERS), None):
        raise Refusal(400, "request", f"the query has {unknown!r:.40}; expected only {', '.join(QUERY_PARAMETERS)}")
    timeout_ms = _whole(query, "timeout_ms", "milliseconds", MAX_TIMEOUT_MS)
    top = _whole(query, "top", "a number of classes", MAX_TOP)
    return ClassifyOptions(
        top=ClassifyOptions.top if top is None else top,
        threshold=_threshold(query.get("threshold"), model),
        maps=_flag(query, "maps"),
        seen=_flag(query, "seen"),
        timeout_s=None if timeout_ms is None else timeout_ms / 1000,
    )


def _whole(query: Mapping[str, str], name: str, unit: str, most: int) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    # int() takes long for millions of digits.
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else 0
    if not 0 < number <= most:
        raise _wrong(name, value, f"{unit} from 1 to {most}")
    return number


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "0")
    if value not in QUERY_FLAGS:
        raise _wrong(name, value, "0 or 1")
    return QUERY_FLAGS[value]


def _threshold(value: str | None, model: ServedModel) -> float | None:
    if value is None:
        return None
    try:
        threshold = float(value)
        check_threshold(threshold, model.bundle)
    except ValueError:
        raise _wrong("threshold", value, "a probability such as 0.5") from None
    except UsageError as error:
        raise Refusal(400, "request", str(error)) from error
    return threshold


def _wrong(name: str, value: str, expected: str) -> Refusal:
    return Refusal(400, "request", f"{name} is {value!r:.40}; expected {expected}")
