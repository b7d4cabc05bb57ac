import signal
import threading

import pytest

from xception.train.interruption import SIGNALS, StopRequest, noted_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_has_its_effect(number: signal.Signals) -> None:
    usual = []
    before = signal.signal(number, lambda *_: usual.append(number))
    try:
        with noted_signals() as request:
            signal.raise_signal(number)
            assert (request.signal, usual) == (number.name, [])
            signal.raise_signal(number)
            assert usual == [number]
    finally:
        signal.signal(number, before)


def test_handlers_are_as_they_were_afterwards() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with noted_signals() as request:
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert request == StopRequest(None)


def test_another_thread_than_the_main_one_may_train_without_handlers() -> None:
    seen: list[StopRequest] = []

    def enter() -> None:
        with noted_signals() as request:
            seen.append(request)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [StopRequest(None)]
