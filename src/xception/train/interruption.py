"""Stopping a run between two steps: a signal is noted, and obeyed after the step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """A run stopped on request, with everything saved; the message says how to resume it."""


@dataclass
class StopRequest:
    """The name of the first signal that came, if any."""

    signal: str | None = None


@contextmanager
def noted_signals() -> Iterator[StopRequest]:
    """Note the first SIGTERM or SIGINT instead of ending; a second one has its usual effect."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, _: FrameType | None) -> None:
        request.signal = signal.Signals(number).name
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
