"""Slow clients, five hundred at once: ordinary ones are answered all the same."""

import http.client
import subprocess
from threading import Event, Thread

import pytest
from conftest import Served

ATTACKS = {"headers": ["-H"], "body": ["-B", "-s", "8192"], "reading": ["-X", "-w", "1", "-y", "2", "-k", "3"]}


@pytest.mark.parametrize("attack", ATTACKS)
def test_ordinary_clients_are_answered_while_slow_ones_hold_on(attack: str, served: Served) -> None:
    path = "/v1/classify?model=digits" if attack == "body" else "/v2/models/digits"
    command = ["slowhttptest", *ATTACKS[attack], "-c", "500", "-r", "200", "-i", "1", "-l", "12", "-p", "3"]
    command += ["-u", f"{served.url}{path}"]
    over, statuses = Event(), []

    def ask() -> None:
        while not over.is_set():
            connection = http.client.HTTPConnection(served.host, timeout=60)
            connection.request("POST", "/v1/classify?model=digits", served.photos[0].read_bytes())
            reply = connection.getresponse()
            reply.read()
            statuses.append(reply.status)
            connection.close()

    asking = Thread(target=ask)
    asking.start()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    over.set()
    asking.join()
    assert "service available" in done.stdout
    assert set(statuses) == {200}
    assert len(statuses) > 20
