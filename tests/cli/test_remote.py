from pathlib import Path

import pytest

from tests.convert.file_server import Served, serving
from xception.cli.remote import local_path
from xception.errors import InputError


def test_a_path_is_taken_as_it_is() -> None:
    assert local_path("weights.pth") == Path("weights.pth")


def test_what_lies_elsewhere_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    with serving() as server:
        server.files["/w.pth"] = Served(b"weights")
        assert local_path(f"{server.url}/w.pth").read_bytes() == b"weights"
        with pytest.raises(InputError, match="does not exist"):
            local_path(f"{server.url}/other.pth")
