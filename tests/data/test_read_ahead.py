"""Images behind URLs that are fetched before they are asked for."""

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import cast

import pytest

from tests.data.forms import tar_bytes
from tests.data.web import WebServer
from xception.data import read_ahead
from xception.data.files import Stored
from xception.data.images import open_images
from xception.data.read_ahead import REQUESTS_AHEAD, REQUESTS_BEHIND
from xception.data.source import Source, part_in_order

IMAGES = {f"{number:03d}.jpg": bytes([number]) * (1000 + number) for number in range(200)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A shard of 200 images, and the same images as files."""
    root = tmp_path_factory.mktemp("images")
    (root / "s-0.tar").write_bytes(tar_bytes(IMAGES))
    (root / "files").mkdir()
    for name, content in IMAGES.items():
        (root / "files" / name).write_bytes(content)
    with WebServer(root) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["s-0.tar", "files"])
def source(request: pytest.FixtureRequest, server: WebServer) -> Source:
    opened = open_images([f"{server.url}/{request.param}"])
    server.requests.clear()
    return opened


def test_images_come_whole_in_order_and_out_of_order(source: Source) -> None:
    items = list(source)
    assert [item.load() for item in items] == list(IMAGES.values())
    assert [item.load() for item in reversed(items)] == list(IMAGES.values())[::-1]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda item: item.load(), source)) == list(IMAGES.values())


def test_a_shard_is_fetched_in_a_few_large_requests(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_images([f"{server.url}/s-0.tar"])
    monkeypatch.setattr(read_ahead, "REQUEST_BYTES", 64 << 10)
    server.requests.clear()
    assert [item.load() for item in source] == list(IMAGES.values())
    # 200 images of 1,100 bytes lie 2,048 bytes apart: 32 of them in a request.
    assert len(server.requests) == 7


def test_nothing_is_fetched_before_an_image_is_loaded_and_no_thread_outlives_the_items(
    source: Source, server: WebServer
) -> None:
    items = list(source)
    assert server.requests == []
    items[0].load()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
    assert threads
    del items
    gc.collect()
    for thread in threads:
        thread.join()
    assert len(server.requests) <= 1 + REQUESTS_AHEAD


def test_a_part_begins_where_it_begins(server: WebServer) -> None:
    source = open_images([f"{server.url}/files"])
    server.requests.clear()
    part = part_in_order(source, range(100, 103))
    assert [item.load() for item in part] == list(IMAGES.values())[100:103]
    assert len(server.requests) == 3


def test_what_is_kept_is_bounded(server: WebServer) -> None:
    source = open_images([f"{server.url}/files"])
    ahead = read_ahead.ReadAhead(source[index].load for index in range(len(source)))
    for place in range(150):
        ahead.load(place, source[place].load)
        assert len(ahead._begun) <= REQUESTS_AHEAD + REQUESTS_BEHIND
    assert [request.first for request in ahead._begun] == list(range(146, 182))


def test_fewer_large_images_are_fetched_ahead_than_small_ones(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "REQUEST_BYTES", 2000)
    monkeypatch.setattr(read_ahead, "BYTES_AHEAD", 16_000)
    source = open_images([f"{server.url}/files"])
    ahead = read_ahead.ReadAhead(source[index].load for index in range(len(source)))
    for place in range(20):
        ahead.load(place, source[place].load)
        # Each has a thousand bytes and a few; as long as none is there, they are taken to be as large as a request.
        assert 7 <= sum(request.first > place for request in ahead._begun) <= 15


def test_an_image_that_is_cut_off_spoils_no_other_of_its_request(
    tmp_path: Path, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Path(server.root) / "cut.tar"
    shard.write_bytes(tar_bytes(IMAGES))
    source = open_images([f"{server.url}/cut.tar"])
    last = cast(Stored, source[199].load)
    shard.write_bytes(shard.read_bytes()[: last.start + 10])
    items = list(source)
    assert [item.load() for item in items[:-1]] == list(IMAGES.values())[:-1]
    with pytest.raises(OSError, match="ends early"):
        items[-1].load()
