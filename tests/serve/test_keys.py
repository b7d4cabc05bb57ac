"""Keys: their file, those who bring them, and how much they may ask."""

import hashlib
from pathlib import Path

import pytest

from tests.serve.running import Running, running
from xception.cli.app import run
from xception.errors import InputError
from xception.serve.keys import Keyring, new_key, read_keys
from xception.serve.refusal import Refusal

OTHER = hashlib.sha256(b"other").hexdigest()


def write_keys(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    path = folder / "keys.txt"
    path.write_text("\n".join(lines))
    path.chmod(mode)
    return path


def test_the_command_makes_a_key_that_opens_and_keeps_only_its_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve-key", "ward-3"]) == 0
    shown = capsys.readouterr()
    key = shown.err.split()[-1]
    ring = Keyring(write_keys(tmp_path, "# our keys", "", shown.out))
    assert ring.key_of(f"Bearer {key}", "infer").name == "ward-3"
    assert key not in shown.out
    assert run(["serve-key", "two words"]) == 2


@pytest.mark.parametrize(
    ("authorization", "scope", "status"),
    [
        (None, "infer", 401),
        ("", "infer", 401),
        ("Basic b3RoZXI=", "infer", 401),
        ("Bearer", "infer", 401),
        ("Bearer wrong", "infer", 401),
        ("Bearer other", "metrics", 403),
    ],
)
def test_who_brings_no_fitting_key_is_refused(
    authorization: str | None, scope: str, status: int, tmp_path: Path
) -> None:
    ring = Keyring(write_keys(tmp_path, f"a {OTHER} infer"))
    with pytest.raises(Refusal) as found:
        ring.key_of(authorization, scope)
    assert found.value.status == status
    assert ("WWW-Authenticate" in found.value.headers) == (status == 401)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "holds no keys"),
        (["a"], "line 1 .* is no key"),
        (["a 123"], "line 1 .* is no key"),
        ([f"a {OTHER} all"], "is no key"),
        ([f"a {OTHER} rate=0"], "is no key"),
        ([f"a {OTHER}", f"a {OTHER}"], "twice"),
        (["\udcff"], "cannot be read"),
    ],
)
def test_a_file_that_is_none_of_keys_is_refused(lines: list[str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(InputError, match=words):
        read_keys(path)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chmod 600"):
        read_keys(write_keys(tmp_path, f"a {OTHER}", mode=0o640))
    with pytest.raises(InputError, match="cannot be read"):
        read_keys(tmp_path / "none")


def test_a_key_has_its_own_limits(tmp_path: Path) -> None:
    clock = [0.0]
    ring = Keyring(write_keys(tmp_path, f"a {OTHER} rate=2 concurrent=1"), clock=lambda: clock[0])
    key = ring.key_of("bearer other", "infer")
    with ring.using(key), pytest.raises(Refusal, match="at once"), ring.using(key):
        pass
    with ring.using(key):
        pass
    with pytest.raises(Refusal, match="2 requests per second") as found, ring.using(key):
        pass
    assert (found.value.status, found.value.headers["Retry-After"]) == (429, "1")
    clock[0] += 0.5
    with ring.using(key):
        pass


def test_keys_are_read_again_and_the_old_ones_hold_where_that_fails(tmp_path: Path) -> None:
    path = write_keys(tmp_path, f"a {OTHER}")
    ring = Keyring(path)
    key, line = new_key("b")
    path.write_text(line)
    ring.reload()
    assert ring.key_of(f"Bearer {key}", "infer").name == "b"
    path.write_text("nonsense")
    with pytest.raises(InputError):
        ring.reload()
    assert ring.key_of(f"Bearer {key}", "infer").name == "b"


def test_a_server_with_keys_lets_nobody_else_in(server: Running, digit_files: list[Path], tmp_path: Path) -> None:
    ring = Keyring(write_keys(tmp_path, f"a {OTHER} infer", f"m {hashlib.sha256(b'm').hexdigest()} metrics"))
    with running(server.service, ring, closes=False) as guarded:
        photo = digit_files[0].read_bytes()
        path = "/v1/classify?model=digits"
        assert guarded.post(path, photo).status == 401
        assert guarded.post(path, photo, Authorization="Bearer other").status == 200
        assert guarded.get("/v2").status == guarded.get("/v2/models/digits").status == 401
        assert guarded.get("/v2/health/live").status == guarded.get("/v2/health/ready").status == 200
        assert guarded.get("/metrics", Authorization="Bearer other").status == 403
        assert guarded.get("/metrics", Authorization="Bearer m").status == 200
        assert "a key is needed" in guarded.get("/v1/models").error
