"""Fetching published weights, and only when asked by name."""

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from xception import inputs, network
from xception.convert.catalog import CATALOG
from xception.convert.checksum import Digest
from xception.convert.readers.folder import (
    FOLDER_KINDS,
    SHARD_INDEXES,
    described_kind,
    model_folder,
    shard_names,
    weight_files,
)
from xception.errors import EnvironmentFault, InputError, UsageError
from xception.extras import require
from xception.machine import cache_folder
from xception.network import Patience, check_address, refuse_offline
from xception.screen import without_credentials

if TYPE_CHECKING:
    import httpx

HUB = "hf-hub:"
HUB_REFERENCE = re.compile(r"hf-hub:(?P<model>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w.-]*))?", re.ASCII)
DEFAULT_ENDPOINT = "https://huggingface.co"

MAX_DOWNLOAD_BYTES = 2 << 30
"""The largest published file, a training checkpoint, is below a tenth of this."""

NEEDS_PERMISSION = "needs a permission, which for a gated model is the token in HF_TOKEN"


class NotOnServer(InputError):
    """The server has no such file."""


OnProgress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole file, where the server tells."""


def is_address(reference: str) -> bool:
    """Tell whether a reference says itself where it is to be fetched: a hub's model, or a URL."""
    return reference.startswith((HUB, "https://", "http://"))


def is_fetched(reference: str, cache: Path | None = None) -> bool:
    """Tell whether all files of a reference, as `fetch` takes it, lie in the cache."""
    folder, address = cache or cache_folder(), _address(reference)
    if address.startswith(HUB):
        return _is_whole(_model_folder(address, folder)[0])
    return _url_target(address.partition("#")[0], folder).is_file()


def fetch(reference: str, cache: Path | None = None, on_progress: OnProgress = lambda *_: None) -> Path:
    """The local copy of a published file, or the folder of a hub's model, fetched once and checked.

    A broken transfer is continued where it ended, within a call and by the next one. What is in the cache is taken
    as it is, a hub's branch too; an exact state is asked for by its commit as revision.

    Args:
        reference: `hf-hub:owner/name[@revision]`, whose endpoint HF_ENDPOINT changes; an http(s) URL, behind which
            `#sha256=...` or `#md5=...` may state the checksum; or a name in the catalog.
        cache: by default `cache_folder()`.
        on_progress: see `OnProgress`.

    Raises:
        UsageError: a reference of no such form.
        InputError: there is no such file, it is too large, or it has another checksum.
        EnvironmentFault: the file is not here, and XCEPTION_OFFLINE is set or the server cannot be reached.
        MissingExtra: httpx is not installed.
    """
    folder = cache or cache_folder()
    address = _address(reference)
    if address.startswith(HUB):
        return _fetch_model(address, folder, on_progress)
    url, _, fragment = address.partition("#")
    digest = _stated(fragment) or next((row.digest for row in CATALOG.values() if row.reference == url), None)
    return _fetch_file(url, _url_target(url, folder), digest, on_progress)


def _url_target(url: str, cache: Path) -> Path:
    return cache / "urls" / hashlib.sha256(url.encode()).hexdigest()[:16] / _file_name(url)


def _address(reference: str) -> str:
    if reference not in CATALOG:
        return reference
    address = CATALOG[reference].reference
    if address is None:
        raise InputError(f"no address is known for {reference}; download the file from its source and pass its path")
    return address


def _fetch_model(reference: str, cache: Path, on_progress: OnProgress) -> Path:
    """The files of a hub's model, the weights last, so that where they are all the rest is."""
    folder, url = _model_folder(reference, cache)

    def get(*names: str) -> Path:
        """Fetch the first of some files that is there."""
        missing = []
        for name in names:
            try:
                return _fetch_file(f"{url}/{name}", folder / name, None, on_progress)
            except NotOnServer as error:
                missing.append(error)
        raise missing[0]

    if not _is_whole(folder):
        kind = described_kind(get(*dict.fromkeys(kind.description for kind in FOLDER_KINDS.values())))
        for name in (*kind.descriptions.values(), *kind.more_weights):
            with suppress(NotOnServer):
                get(name)
        weights = get(*kind.weights)
        for name in shard_names(weights) if weights.name in SHARD_INDEXES else ():
            get(name)
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        found = model_folder(folder)
        return found is not None and bool(weight_files(found))
    except InputError:
        return False


def _model_folder(reference: str, cache: Path) -> tuple[Path, str]:
    """The place of a hub's model in the cache, and the URL of its files.

    Raises:
        UsageError: the reference names no model.
    """
    match = HUB_REFERENCE.fullmatch(reference)
    if not match:
        raise UsageError(
            f"{reference!r} names no model of a hub; expected hf-hub:owner/name or hf-hub:owner/name@revision"
        )
    endpoint = _endpoint()
    revision = match["revision"] or "main"
    folder = cache / "hf-hub" / urlsplit(endpoint).netloc.replace(":", "_") / match["model"] / revision
    return folder, f"{endpoint}/{match['model']}/resolve/{revision}"


def _stated(fragment: str) -> Digest | None:
    """The checksum behind a URL's #."""
    if not fragment:
        return None
    match = re.fullmatch(r"(?P<md5>md5=[0-9a-f]{32})|sha256=[0-9a-f]{64}", fragment.lower())
    if not match:
        raise UsageError(f"the URL ends in #{fragment}; expected nothing, or #sha256= or #md5= and all its digits")
    return Digest("md5" if match["md5"] else "sha256", match[0].partition("=")[2])


def _file_name(url: str) -> str:
    """The URL's last part, with nothing in it that means something to a file system."""
    return re.sub(r"[^\w.+-]", "_", PurePosixPath(unquote(urlsplit(url).path)).name).lstrip(".") or "file"


def _fetch_file(url: str, target: Path, digest: Digest | None, on_progress: OnProgress) -> Path:
    if target.is_file() and (digest is None or digest.fits(target)):
        return target
    refuse_offline(url)
    check_address(url)
    httpx = require("httpx", "hub")
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with httpx.Client(
            headers=_authorization(url),
            follow_redirects=True,
            max_redirects=5,
            timeout=network.READ_TIMEOUT_S,
            event_hooks={"request": [lambda request: check_address(str(request.url))]},
        ) as client:
            linked = _receive_all(client, url, partial, on_progress)
        _check(partial, digest or linked, url)
        partial.replace(target)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {target}: {error.strerror}; make room, or set XDG_CACHE_HOME") from error
    _validator(partial).unlink(missing_ok=True)
    return target


def _receive_all(client: "httpx.Client", url: str, partial: Path, on_progress: OnProgress) -> Digest | None:
    """Receive a file, and go on after a pause where the connection broke; the checksum that the server states.

    A part of `MIN_PART_BYTES` earns new attempts, so that a large file comes over a bad line, and a server that sends
    a byte per connection is left soon.
    """
    httpx = require("httpx", "hub")
    patience, reached = _patience(), _size(partial)
    while True:
        try:
            return _receive(client, url, partial, on_progress)
        except httpx.TransportError as error:
            if _size(partial) - reached >= network.MIN_PART_BYTES:
                patience, reached = _patience(), _size(partial)
            if isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol) or not patience.rest():
                raise _unreachable(url, str(error) or type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InputError(
                f"cannot fetch {without_credentials(url)}: {without_credentials(str(error))}; check the address"
            ) from error


def _patience() -> Patience:
    return Patience(deadline_s=float("inf"), pauses_s=network.TRANSFER_PAUSES_S)


def _authorization(url: str) -> dict[str, str]:
    """The header that opens gated models to the user, for the hub's own host only; redirects elsewhere lose it."""
    token, hub = os.environ.get("HF_TOKEN", ""), urlsplit(_endpoint())
    here = urlsplit(url)
    is_hub = (here.scheme, here.netloc) == (hub.scheme, hub.netloc)
    is_safe = hub.scheme == "https" or hub.hostname in ("localhost", "127.0.0.1", "::1")
    return {"Authorization": f"Bearer {token}"} if token and is_hub and is_safe else {}


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT).rstrip("/")


def _receive(client: "httpx.Client", url: str, partial: Path, on_progress: OnProgress) -> Digest | None:
    """Append to `partial` what is missing of the file; the checksum that the server states."""
    start = _size(partial) if _validator(partial).is_file() else 0
    # A compressed transfer could not be continued. By If-Range, a file that has changed is sent anew.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {
            "Range": f"bytes={start}-",
            "If-Range": inputs.read_utf8(_validator(partial), inputs.DOCUMENT_LIMIT),
        }
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416 and start:
            partial.unlink()
            return _receive(client, url, partial, on_progress)
        _check_response(response, url)
        if response.status_code == 200:
            start = 0
            _remember(partial, response.headers.get("ETag", ""))
        _store(response, partial, start, on_progress)
        return _linked_digest(response)


def _store(response: "httpx.Response", partial: Path, start: int, on_progress: OnProgress) -> None:
    """Write the response behind the first `start` bytes of `partial`."""
    total = _total(response, start)
    _check_size(total or 0, response)
    size, began = start, network.now()
    with partial.open("ab" if start else "wb") as file:
        # As they come: of a chunk gathered to a size, a broken transfer would lose the beginning.
        for chunk in response.iter_raw():
            file.write(chunk)
            size += len(chunk)
            _check_size(size, response)
            _check_speed(size - start, network.now() - began, response)
            on_progress(size, total)
    if total not in (None, partial.stat().st_size):
        partial.unlink()
        raise InputError(f"{_shown(response)} gave {size} bytes, expected {total}; fetch it again")


def _check_response(response: "httpx.Response", url: str) -> None:
    """Refuse anything but the file or the rest of it.

    Raises:
        InputError: the file is not there, not for everyone, or offered over http where https was asked for.
        EnvironmentFault: the server is in trouble.
    """
    status = response.status_code
    if status >= 500:
        raise EnvironmentFault(
            f"the server of {without_credentials(url)} answers {status}; try again later, or pass a local file"
        )
    if status not in (200, 206):
        why = {401: NEEDS_PERMISSION, 403: NEEDS_PERMISSION, 404: "does not exist"}.get(
            status, f"cannot be fetched (status {status})"
        )
        raise (NotOnServer if status == 404 else InputError)(
            f"{without_credentials(url)} {why}; check the address, or fetch it by other means and pass the file's path"
        )
    if url.startswith("https:") and response.url.scheme != "https":
        raise InputError(
            f"{without_credentials(url)} redirects to {_shown(response)} without encryption; pass that address "
            "itself to accept it"
        )


def _check_size(size_bytes: int, response: "httpx.Response") -> None:
    if size_bytes > MAX_DOWNLOAD_BYTES:
        raise InputError(
            f"{_shown(response)} is larger than {MAX_DOWNLOAD_BYTES:,} bytes, which no published weights are; check "
            "the address"
        )


def _check_speed(received_bytes: int, seconds: float, response: "httpx.Response") -> None:
    if seconds > network.SLOW_AFTER_S and received_bytes < network.MIN_BYTES_PER_S * seconds:
        raise _unreachable(str(response.url), f"{received_bytes:,} bytes came in {seconds:.0f} s, which is too slow")


def _check(path: Path, digest: Digest | None, url: str) -> None:
    if digest and not digest.fits(path):
        path.unlink()
        raise InputError(
            f"the file from {without_credentials(url)} does not have the checksum {digest}; it is damaged or "
            "another one and was not kept"
        )


def _total(response: "httpx.Response", start: int) -> int | None:
    """Bytes of the whole file, where the server tells."""
    if response.status_code == 206:
        match = re.fullmatch(rf"bytes {start}-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not match:
            raise InputError(f"{_shown(response)} continues a file at another place than asked for; fetch it again")
        return int(match[1])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _linked_digest(response: "httpx.Response") -> Digest | None:
    """The checksum that the hub states of a large file, before it redirects to the file's address."""
    for step in (*response.history, response):
        etag = step.headers.get("X-Linked-Etag", "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", etag):
            return Digest("sha256", etag)
    return None


def _validator(partial: Path) -> Path:
    """The file next to an unfinished one that holds the server's name for this state of it."""
    return partial.with_name(f"{partial.name}.etag")


def _remember(partial: Path, etag: str) -> None:
    """Weak names promise no equal bytes, so that a file of such a name is not continued."""
    if etag.startswith('"'):
        _validator(partial).write_text(etag, encoding="utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _shown(response: "httpx.Response") -> str:
    return without_credentials(str(response.url))


def _unreachable(url: str, reason: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"{without_credentials(url)} is needed and cannot be fetched ({reason}); nothing is fetched without the "
        "network: connect, or get the file by other means and pass its path"
    )
