"""The benchmark of the server counts what it sees."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from benchmarks.serving import Client, Tally, closed_loop, counted_loop, open_loop, photo_request, run
from tests.serve.running import Running, opened, running
from tests.support.samples import encoded, picture
from xception.bundle import Bundle


@pytest.fixture(scope="module")
def server(onnx_bundle: Bundle) -> Iterator[Running]:
    with running(opened({"small": onnx_bundle})) as found:
        yield found


def test_replies_are_counted_by_status_and_time() -> None:
    tally = Tally()
    for status, seconds in ((200, 0.1), (200, 3.0), (503, 0.01)):
        tally.add(status, seconds)
    assert (tally.in_time(1.0), tally.counts) == (1, {200: 2, 503: 1})
    assert tally.percentile(503) == 0.01


def test_clients_that_wait_and_clients_that_do_not_are_all_answered(server: Running) -> None:
    request = photo_request(encoded(picture(), "JPEG"), 60.0)
    waiting, rate = run(lambda client: closed_loop(client, 4, 0.1), server.port, request)
    crowd, _ = run(lambda client: open_loop(client, rate=100.0, seconds=0.1), server.port, request)
    assert set(waiting.tally.counts) == set(crowd.tally.counts) == {200}
    assert rate > 0


def test_a_server_that_refuses_is_counted_as_such(server: Running) -> None:
    refused, _ = run(lambda client: closed_loop(client, 1, 0.01), server.port, photo_request(b"no image", None))
    assert set(refused.tally.counts) == {400}


def test_so_many_requests_are_asked_as_are_wanted(server: Running) -> None:
    request = photo_request(encoded(picture(), "JPEG"), 60.0)
    asked, _ = run(lambda client: counted_loop(client, 3, 10), server.port, request)
    assert asked.tally.counts == {200: 10}


def test_clients_leave_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serving.PATIENCE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        crowd, _ = run(lambda client: open_loop(client, rate=100.0, seconds=0.1), silent.getsockname()[1], b"")
    assert set(crowd.tally.counts) == {0}


def test_clients_pass_over_connections_that_the_server_closed() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    async def ask_twice() -> dict[int, int]:
        async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
            client = Client(server.sockets[0].getsockname()[1], b"GET / HTTP/1.1\r\n\r\n")
            await client.ask()
            assert not await client.idle[0][0].read()  # it is closed
            await client.ask()
            await client.close()
        return client.tally.counts

    assert asyncio.run(ask_twice()) == {200: 2}
