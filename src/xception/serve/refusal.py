"""Refusals of requests, each with the status and the reason that are replied and counted."""

from math import ceil
from typing import Literal

Reason = Literal[
    "address",
    "broken",
    "client limit",
    "client speed",
    "deadline",
    "departed",
    "draining",
    "key",
    "media type",
    "request",
    "saturated",
    "size",
    "unknown",
]
"""Kinds of refusals, for the metrics."""


class Refusal(Exception):
    """A request that is not answered; the message is one sentence for the client."""

    def __init__(
        self, status: int, reason: Reason, sentence: str, *, retry_after_s: float | None = None, closes: bool = False
    ) -> None:
        super().__init__(sentence)
        self.status, self.reason, self.sentence = status, reason, sentence
        self.headers: dict[str, str] = {}
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, ceil(retry_after_s)))
        if closes:
            self.headers["Connection"] = "close"
