import hashlib
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.convert.file_server import FileServer, Served, serving
from xception import network
from xception.convert import hub
from xception.convert.catalog import CATALOG
from xception.convert.checksum import Digest
from xception.convert.hub import fetch, is_address, is_fetched
from xception.errors import EnvironmentFault, InputError, UsageError, XceptionError
from xception.machine import cache_folder

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "XCEPTION_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        running.files["/w.pth"] = Served(CONTENT)
        yield running


def leftovers(folder: Path) -> set[str]:
    """Names of all files there."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_fetched_once_under_its_own_name(server: FileServer, tmp_path: Path) -> None:
    path = fetch(f"{server.url}/w.pth", tmp_path)
    assert path.name == "w.pth"
    assert path.read_bytes() == CONTENT
    assert leftovers(tmp_path) == {"w.pth"}
    assert fetch(f"{server.url}/w.pth", tmp_path) == path
    assert len(server.requests) == 1


def test_two_addresses_with_the_same_file_name_do_not_meet(server: FileServer, tmp_path: Path) -> None:
    server.files["/other/w.pth"] = Served(b"other")
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert fetch(f"{server.url}/other/w.pth", tmp_path).read_bytes() == b"other"


@pytest.mark.parametrize("fragment", [f"sha256={SHA256}", f"md5={MD5}", f"SHA256={SHA256.upper()}"])
def test_a_stated_checksum_that_fits_is_accepted(server: FileServer, tmp_path: Path, fragment: str) -> None:
    assert fetch(f"{server.url}/w.pth#{fragment}", tmp_path).read_bytes() == CONTENT


def test_another_checksum_is_refused_and_nothing_is_kept(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not have the checksum sha256:0000"):
        fetch(f"{server.url}/w.pth#sha256={'0' * 64}", tmp_path)
    assert not any(name.endswith((".pth", ".partial")) for name in leftovers(tmp_path))


def test_a_damaged_file_in_the_cache_is_fetched_again(server: FileServer, tmp_path: Path) -> None:
    path = fetch(f"{server.url}/w.pth", tmp_path)
    path.write_bytes(b"damaged")
    assert fetch(f"{server.url}/w.pth#sha256={SHA256}", tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("fragment", ["sha256=abc", "sha1=" + "0" * 40, "top", "md5=" + "g" * 32])
def test_a_checksum_of_no_known_form_is_refused_before_anything_is_fetched(
    server: FileServer, tmp_path: Path, fragment: str
) -> None:
    with pytest.raises(UsageError, match="expected nothing, or #sha256="):
        fetch(f"{server.url}/w.pth#{fragment}", tmp_path)
    assert server.requests == []


def test_a_name_in_the_catalog_is_fetched_from_its_address_and_checked(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(
        CATALOG["keras_xception.imagenet"], reference=f"{server.url}/w.pth", digest=Digest("sha256", SHA256[:8])
    )
    monkeypatch.setattr(hub, "CATALOG", MappingProxyType({entry.name: entry}))
    assert fetch(entry.name, tmp_path).read_bytes() == CONTENT
    server.files["/w.pth"] = Served(b"another file")
    with pytest.raises(InputError, match=f"checksum sha256:{SHA256[:8]}"):
        fetch(entry.name, tmp_path / "anew")


def test_a_cataloged_file_without_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no address is known for mindspore_xception\.gpu_in1k"):
        fetch("mindspore_xception.gpu_in1k", tmp_path)


def model(server: FileServer, revision: str = "main", **weights: str) -> None:
    place = f"/timm/xception41.tf_in1k/resolve/{revision}"
    server.files[f"{place}/config.json"] = Served(b"{}")
    server.files[f"{place}/model.safetensors"] = Served(CONTENT, **weights)


def test_a_hubs_model_becomes_a_folder_of_two_files(server: FileServer, tmp_path: Path) -> None:
    model(server)
    folder = fetch("hf-hub:timm/xception41.tf_in1k", tmp_path)
    assert leftovers(folder) == {"config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert fetch("timm_xception41.tf_in1k", tmp_path) == folder
    assert len(server.requests) == 2


ZEROMODELS = "/zeromodels/xception41_tf_in1k/resolve/main"
KERAS_HUB = "/keras/xception_41_imagenet/resolve/main"


def test_a_model_of_zeromodels_is_told_by_the_name_of_its_description(server: FileServer, tmp_path: Path) -> None:
    names = {"zm_config.json", "zm_preprocessor.json", "model.weights.h5"}
    server.files |= {f"{ZEROMODELS}/{name}": Served(b"{}") for name in names}
    assert leftovers(fetch("timm_xception41.zeromodels_tf_in1k", tmp_path)) == names
    assert is_fetched("timm_xception41.zeromodels_tf_in1k", tmp_path)


def test_a_preset_of_kerashub_is_told_by_what_its_description_is_registered_as(
    server: FileServer, tmp_path: Path
) -> None:
    served = {
        "config.json": b'{"registered_name": "keras_hub>XceptionBackbone"}',
        "task.json": b"{}",
        "preprocessor.json": b"{}",
        "task.weights.h5": b"head",
        "model.weights.h5": b"backbone",
        "model.safetensors": b"not of this kind",
    }
    server.files |= {f"{KERAS_HUB}/{name}": Served(content) for name, content in served.items()}
    folder = fetch("hf-hub:keras/xception_41_imagenet", tmp_path)
    assert leftovers(folder) == served.keys() - {"model.safetensors"}
    before = len(server.requests)
    assert fetch("hf-hub:keras/xception_41_imagenet", tmp_path) == folder
    assert len(server.requests) == before


def test_weights_that_are_spread_over_files_are_fetched_with_their_list(server: FileServer, tmp_path: Path) -> None:
    shards = ("model_00000.weights.h5", "model_00001.weights.h5")
    listed = json.dumps({"weight_map": {"/layers/a/vars": list(shards), "/layers/b/vars": shards[1]}}).encode()
    server.files |= {f"{ZEROMODELS}/{name}": Served(b"{}") for name in ("zm_config.json", *shards)}
    server.files[f"{ZEROMODELS}/model.weights.json"] = Served(listed)
    folder = fetch("hf-hub:zeromodels/xception41_tf_in1k", tmp_path)
    assert leftovers(folder) == {"zm_config.json", "model.weights.json", *shards}
    (folder / shards[1]).unlink()
    assert not is_fetched("hf-hub:zeromodels/xception41_tf_in1k", tmp_path)


def test_a_list_of_files_that_leads_out_of_the_folder_is_refused(server: FileServer, tmp_path: Path) -> None:
    listed = json.dumps({"weight_map": {"/layers/a/vars": "../../secret.h5"}}).encode()
    server.files |= {f"{ZEROMODELS}/zm_config.json": Served(b"{}"), f"{ZEROMODELS}/model.weights.json": Served(listed)}
    with pytest.raises(InputError, match=r"expected names such as model_00000\.weights\.h5"):
        fetch("hf-hub:zeromodels/xception41_tf_in1k", tmp_path)


def test_a_revision_is_asked_for_and_kept_apart(server: FileServer, tmp_path: Path) -> None:
    model(server, "2dd4221")
    folder = fetch("hf-hub:timm/xception41.tf_in1k@2dd4221", tmp_path)
    assert folder.name == "2dd4221"
    with pytest.raises(InputError, match=r"resolve/main/config\.json does not exist"):
        fetch("hf-hub:timm/xception41.tf_in1k", tmp_path)


@pytest.mark.parametrize("linked", [SHA256, "0" * 64])
def test_the_checksum_that_a_hub_states_is_held_to(server: FileServer, tmp_path: Path, linked: str) -> None:
    model(server, linked_etag=f'"{linked}"')
    if linked == SHA256:
        fetch("hf-hub:timm/xception41.tf_in1k", tmp_path)
    else:
        with pytest.raises(InputError, match="checksum sha256:0000"):
            fetch("hf-hub:timm/xception41.tf_in1k", tmp_path)


def test_the_hubs_checksum_is_found_on_the_redirect_to_where_the_file_lies(server: FileServer, tmp_path: Path) -> None:
    model(server)
    server.files["/timm/xception41.tf_in1k/resolve/main/model.safetensors"] = Served(
        status=302, location="/w.pth", linked_etag="0" * 64
    )
    with pytest.raises(InputError, match="checksum sha256:0000"):
        fetch("hf-hub:timm/xception41.tf_in1k", tmp_path)


@pytest.mark.parametrize(
    "reference", ["hf-hub:", "hf-hub:timm", "hf-hub:../../etc", "hf-hub:a/b@../c", "hf-hub:a/b/c", "hf-hub:a/b@"]
)
def test_a_reference_that_names_no_model_is_refused(server: FileServer, tmp_path: Path, reference: str) -> None:
    with pytest.raises(UsageError, match="expected hf-hub:owner/name"):
        fetch(reference, tmp_path)
    assert server.requests == []


def test_a_broken_transfer_goes_on_where_it_ended(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"].cuts = [1000, 2000]
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert [ranged for _, ranged in server.requests] == [None, "bytes=1000-", "bytes=3000-"]


def test_a_transfer_that_gets_no_further_ends_and_the_next_call_continues_it(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/w.pth"].cuts = [1000, *[0] * len(network.TRANSFER_PAUSES_S)]
    with pytest.raises(EnvironmentFault, match="cannot be fetched"):
        fetch(f"{server.url}/w.pth", tmp_path)
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=1000-"
    assert leftovers(tmp_path) == {"w.pth"}


def test_a_server_that_sends_a_byte_per_connection_is_left_after_a_few(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(network, "pause", pauses.append)
    server.files["/w.pth"].cuts = [1] * len(CONTENT)
    with pytest.raises(EnvironmentFault, match="cannot be fetched"):
        fetch(f"{server.url}/w.pth", tmp_path)
    assert tuple(pauses) == network.TRANSFER_PAUSES_S
    assert len(server.requests) == 1 + len(pauses)


def test_a_large_part_earns_new_attempts(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MIN_PART_BYTES", 1000)
    server.files["/w.pth"].cuts = [1000] * 10
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT


def test_a_server_that_drips_is_left(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter(range(0, 36_000_000, 3600))
    monkeypatch.setattr(network, "now", lambda: float(next(hours)))
    with pytest.raises(EnvironmentFault, match="in 3600 s, which is too slow"):
        fetch(f"{server.url}/w.pth", tmp_path)


def test_a_redirect_to_a_machine_s_own_address_is_not_followed(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"] = Served(status=302, location="http://169.254.169.254/latest/meta-data/")
    with pytest.raises(UsageError, match="link-local"):
        fetch(f"{server.url}/w.pth", tmp_path)


def test_the_token_goes_to_the_hub_and_nowhere_else(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.files["/o/n/resolve/main/config.json"] = Served(b"{}")
    with serving() as other:
        other.files["/w"] = Served(CONTENT)
        server.files["/o/n/resolve/main/model.safetensors"] = Served(status=302, location=f"{other.url}/w")
        fetch("hf-hub:o/n", tmp_path)
        fetch(f"{other.url}/w", tmp_path)
        assert server.authorizations == ["Bearer hf_secret"] * 2
        assert other.authorizations == [None, None]


def test_a_gated_model_names_the_token_and_no_password(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth?token=abc"] = Served(status=401)
    with pytest.raises(InputError, match=r"//\*\*\*@127.*token=\*\*\* needs a permission.*HF_TOKEN"):
        fetch(f"{server.url}/w.pth?token=abc".replace("//", "//user:secret@"), tmp_path)


def test_a_file_that_has_changed_meanwhile_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"].cuts = [1000, *[0] * len(network.TRANSFER_PAUSES_S)]
    with pytest.raises(EnvironmentFault):
        fetch(f"{server.url}/w.pth", tmp_path)
    server.files["/w.pth"] = Served(CONTENT[::-1], etag='"two"')
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_file_whose_state_the_server_does_not_name_is_not_continued(
    server: FileServer, tmp_path: Path, etag: str | None
) -> None:
    server.files["/w.pth"] = Served(CONTENT, etag=etag, cuts=[1000])
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert [ranged for _, ranged in server.requests] == [None, None]


def test_a_server_without_ranges_sends_the_whole_again(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"] = Served(CONTENT, takes_ranges=False, cuts=[1000])
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT


def test_a_continuation_at_another_place_is_refused(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"] = Served(CONTENT, cuts=[1000], shift=1)
    with pytest.raises(InputError, match="at another place"):
        fetch(f"{server.url}/w.pth", tmp_path)


def test_a_complete_file_that_was_never_put_in_place_is_fetched_again(server: FileServer, tmp_path: Path) -> None:
    path = fetch(f"{server.url}/w.pth", tmp_path)
    path.rename(path.with_name("w.pth.partial"))
    path.with_name("w.pth.partial.etag").write_text('"one"')
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert leftovers(tmp_path) == {"w.pth"}


def test_a_truncation_that_the_server_hides_shows_in_the_checksum(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"] = Served(CONTENT, states_length=False, cuts=[1000])
    with pytest.raises(InputError, match="does not have the checksum"):
        fetch(f"{server.url}/w.pth#sha256={SHA256}", tmp_path)
    server.files["/w.pth"] = Served(CONTENT, states_length=False)
    assert fetch(f"{server.url}/w.pth#sha256={SHA256}", tmp_path).read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_given_up(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "READ_TIMEOUT_S", 0.1)
    server.files["/w.pth"] = Served(CONTENT, cuts=[1000, *[0] * 10], hangs=True)
    with pytest.raises(EnvironmentFault, match="cannot be fetched"):
        fetch(f"{server.url}/w.pth", tmp_path)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (404, InputError, "does not exist"),
        (403, InputError, "needs a permission"),
        (418, InputError, r"cannot be fetched \(status 418\)"),
        (500, EnvironmentFault, "answers 500; try again later"),
    ],
)
def test_a_refusal_is_told_in_words(
    server: FileServer, tmp_path: Path, status: int, error: type[Exception], words: str
) -> None:
    server.files["/w.pth"] = Served(b"<html>", status=status)
    with pytest.raises(error, match=words):
        fetch(f"{server.url}/w.pth", tmp_path)
    assert leftovers(tmp_path) == set()


def test_redirects_are_followed_but_not_in_a_circle(server: FileServer, tmp_path: Path) -> None:
    server.files["/moved"] = Served(status=302, location="/w.pth")
    server.files["/circle"] = Served(status=302, location="/circle")
    assert fetch(f"{server.url}/moved", tmp_path).read_bytes() == CONTENT
    with pytest.raises(InputError, match="check the address"):
        fetch(f"{server.url}/circle", tmp_path)


def test_a_redirect_from_encryption_to_none_is_refused() -> None:
    import httpx

    response = httpx.Response(200, request=httpx.Request("GET", "http://plain.example/w.pth"))
    with pytest.raises(InputError, match="without encryption"):
        hub._check_response(response, "https://safe.example/w.pth")
    hub._check_response(response, "http://plain.example/w.pth")


@pytest.mark.parametrize("states_length", [True, False])
def test_a_file_beyond_the_limit_is_refused(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states_length: bool
) -> None:
    monkeypatch.setattr(hub, "MAX_DOWNLOAD_BYTES", len(CONTENT) - 1)
    server.files["/w.pth"] = Served(CONTENT, states_length=states_length)
    with pytest.raises(InputError, match="larger than"):
        fetch(f"{server.url}/w.pth", tmp_path)
    monkeypatch.setattr(hub, "MAX_DOWNLOAD_BYTES", len(CONTENT))
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT


def test_without_a_network_the_cache_serves_and_the_rest_is_explained(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server.url}/w.pth"
    path = fetch(url, tmp_path)
    monkeypatch.setenv("XCEPTION_OFFLINE", "1")
    assert fetch(url, tmp_path) == path
    with pytest.raises(EnvironmentFault, match=r"/new\.pth is needed .*XCEPTION_OFFLINE is set.*pass its path"):
        fetch(f"{server.url}/new.pth", tmp_path)
    assert len(server.requests) == 1


def test_a_machine_that_nobody_answers_for_is_told_apart_from_a_missing_file(
    server: FileServer, tmp_path: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(EnvironmentFault, match="nothing is fetched without the network"):
            fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/w.pth", tmp_path)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/x"])
def test_an_address_that_is_none_is_refused(server: FileServer, tmp_path: Path, url: str) -> None:
    with pytest.raises(XceptionError, match=r"cannot (be fetched|fetch)"):
        fetch(url, tmp_path)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/x/w.pth?dl=1", "w.pth"),
        ("https://a.example/x/%2e%2e%2fw", "w"),
        ("https://a.example/..", "file"),
        ("https://a.example/", "file"),
        ("https://a.example/a%00b", "a_b"),
    ],
)
def test_a_files_name_has_no_power_over_the_file_system(url: str, name: str) -> None:
    assert hub._file_name(url) == name


def test_a_cache_that_cannot_be_written_is_told(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("a file, not a folder")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        fetch(f"{server.url}/w.pth", tmp_path)


def test_progress_is_told_in_bytes(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    fetch(f"{server.url}/w.pth", tmp_path, lambda done, total: told.append((done, total)))
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_the_cache_lies_where_caches_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "xception"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "xception"


@pytest.mark.parametrize(
    ("reference", "says_where"),
    [
        ("hf-hub:timm/xception41.tf_in1k", True),
        ("https://a.example/w.pth", True),
        ("keras_xception.imagenet", False),
        ("weights.pth", False),
    ],
)
def test_addresses_are_told_from_names_and_files(reference: str, says_where: bool) -> None:
    assert is_address(reference) is says_where


def test_what_lies_in_the_cache_is_known_to_be_fetched(server: FileServer, tmp_path: Path) -> None:
    model(server)
    for reference in (f"{server.url}/w.pth#sha256={SHA256}", "hf-hub:timm/xception41.tf_in1k"):
        assert not is_fetched(reference, tmp_path)
        fetch(reference, tmp_path)
        assert is_fetched(reference, tmp_path)
    assert is_fetched("timm_xception41.tf_in1k", tmp_path)
    assert not is_fetched("keras_xception.imagenet", tmp_path)
