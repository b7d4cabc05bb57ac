"""Some requests of `make fuzz`, and a server that it would catch."""

from collections.abc import Iterator

import pytest

from tests.fuzz.fuzz_server import attack
from tests.oip.test_conformance import Spoilt, with_status
from tests.serve.running import Running, free_port, kept_open, serving_app
from xception.serve.app import application


def test_whatever_is_sent_is_answered_or_refused_in_a_sentence(server: Running) -> None:
    assert attack(server, requests=250, seed=3) is None


@pytest.fixture
def failing(server: Running) -> Iterator[Running]:
    app, port = Spoilt(kept_open(application(server.service))), free_port()
    app.after = with_status(lambda exchange: exchange.status == 400, 500)
    with serving_app(app, port):
        yield Running(port, server.service)


def test_a_server_that_fails_would_be_noticed(failing: Running) -> None:
    found = attack(failing, requests=250, seed=3)
    assert found is not None
    assert " 500 " in found
