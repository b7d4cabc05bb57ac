"""Servers on this machine from which data are read."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import S3Server
from tests.data.forms import all_files, write_all
from tests.data.web import WebServer
from xception.data.inventory import LOG


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@pytest.fixture
def remarks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sentences about data sets, whatever earlier tests did to the logs of this process."""
    listener = Listener()
    monkeypatch.setattr(LOG, "handlers", [listener])
    monkeypatch.setattr(LOG, "propagate", False)
    return listener.heard


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all forms. Not to be written to."""
    return write_all(tmp_path_factory.mktemp("forms"))


@pytest.fixture(scope="session")
def web(root: Path) -> Iterator[WebServer]:
    """A web server of the folder, which lists folders and sends parts of files."""
    with WebServer(root) as server:
        thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def s3(s3_server: S3Server) -> str:
    """The URL of a bucket with all forms on an S3 server, which the environment names."""
    url = s3_server.bucket("pictures")
    for name, data in all_files().items():
        s3_server.client.put_object(Bucket="pictures", Key=name, Body=data)
    return url
