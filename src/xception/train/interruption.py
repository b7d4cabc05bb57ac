"""Stopping a run politely: a signal is noted, and obeyed between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """A run was asked to stop, and did so with everything saved; the message says how it goes on."""


@dataclass
class Request:
    """What came, if anything."""

    signal: str | None = None


@contextmanager
def noted_signals() -> Iterator[Request]:
    """Note the first SIGTERM or SIGINT instead of dying of it; a second one has its usual effect."""
    request = Request()
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
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
