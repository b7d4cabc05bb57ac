"""Servers on this machine from which data are read."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from tests.data.forms import all_files, write_all
from tests.data.web import WebServer

BUCKET = "pictures"


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
def s3() -> Iterator[str]:
    """The URL of a bucket with all forms on an S3 server, which the environment names."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "name")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        for name, data in all_files().items():
            client.put_object(Bucket=BUCKET, Key=name, Body=data)
        yield f"s3://{BUCKET}"
    server.stop()
