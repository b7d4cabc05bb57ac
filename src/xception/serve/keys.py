"""API keys: a file of names and hashes, never of the keys themselves."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from xception.errors import InputError, UsageError
from xception.inputs import DOCUMENT_LIMIT, read_utf8
from xception.platforms import others_may_read
from xception.serve.refusal import Refusal

Scope = Literal["infer", "metrics"]
SCOPES: tuple[Scope, ...] = ("infer", "metrics")

KEY_BYTES = 32
NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}")
LIMIT = re.compile(r"(rate|concurrent)=([0-9]{1,9})")
LINE = "a line is NAME SHA256, then any of infer, metrics, rate=REQUESTS_PER_SECOND, concurrent=REQUESTS"


class Key(NamedTuple):
    """A line of the file."""

    name: str
    digest: str
    """SHA-256 of the key, in hexadecimal."""
    scopes: frozenset[Scope]
    rate: int | None
    """Requests per second."""
    concurrent: int | None
    """Requests at once."""


def new_key(name: str) -> tuple[str, str]:
    """A new key, and the line for the file.

    Raises:
        UsageError: the name is none.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a key; expected up to 64 letters, digits, dots, hyphens")
    key = secrets.token_urlsafe(KEY_BYTES)
    return key, f"{name} {_digest(key)} infer"


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        InputError: it cannot be read, others than its owner may read it, or it holds no keys.
    """
    try:
        text = read_utf8(path, DOCUMENT_LIMIT)
        is_open = others_may_read(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the keys in {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if is_open:
        raise InputError(f"the keys in {path} may be read by others than their owner; run: chmod 600 {path}")
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1)]
    keys = tuple(_parsed(path, number, words) for number, words in lines if words and not words[0].startswith("#"))
    if not keys:
        raise InputError(f"{path} holds no keys; {LINE}; xception serve-key NAME makes one")
    if len({key.name for key in keys}) < len(keys):
        raise InputError(f"a name stands in {path} twice; expected one line for each")
    return keys


def _parsed(path: Path, number: int, words: list[str]) -> Key:
    name, digest, *options = (*words, "", "")[: max(2, len(words))]
    limits = {match[1]: int(match[2]) for word in options if (match := LIMIT.fullmatch(word))}
    scopes = frozenset(scope for scope in SCOPES if scope in options)
    known = all(word in SCOPES or LIMIT.fullmatch(word) for word in options)
    if not (NAME.fullmatch(name) and DIGEST.fullmatch(digest) and known) or 0 in limits.values():
        raise InputError(f"line {number} of {path} is no key; {LINE}")
    return Key(name, digest, scopes or frozenset(("infer",)), limits.get("rate"), limits.get("concurrent"))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass
class _Use:
    """The use of one key: a bucket that a second fills with as many requests as the key may make."""

    level: float
    filled_s: float
    running: int = 0


@dataclass
class Keyring:
    """The keys of a file, and their use."""

    path: Path
    clock: Callable[[], float] = time.monotonic
    keys: tuple[Key, ...] = field(init=False)
    _uses: dict[str, _Use] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reload()

    def reload(self) -> None:
        """Read the file again; `read_keys` has the errors, after which the old keys hold."""
        self.keys = read_keys(self.path)

    def key_of(self, authorization: str | None, scope: Scope) -> Key:
        """The key that a request brings.

        Raises:
            Refusal: it brings none, none that is known, or one for something else.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            refusal = Refusal(401, "key", "a key is needed; send it as Authorization: Bearer KEY")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            raise refusal
        digest = _digest(token.strip())
        # All are compared, so that the time tells nothing of the place.
        found = [key for key in self.keys if hmac.compare_digest(key.digest, digest)]
        if not found:
            refusal = Refusal(401, "key", "the key is not known; ask who runs this server for one")
            refusal.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
            raise refusal
        if scope not in found[0].scopes:
            raise Refusal(403, "key", f"the key is not for {scope}; ask who runs this server for one that is")
        return found[0]

    @contextmanager
    def using(self, key: Key) -> Iterator[str]:
        """Count a request to its key, whose name this gives, for as long as it lasts.

        Raises:
            Refusal: the key makes too many requests, at once or per second.
        """
        use = self._uses.setdefault(key.name, _Use(key.rate or 0, self.clock()))
        self._check_use(key, use)
        use.running += 1
        try:
            yield key.name
        finally:
            use.running -= 1

    def _check_use(self, key: Key, use: _Use) -> None:
        if key.concurrent is not None and use.running >= key.concurrent:
            sentence = f"the key makes {use.running} requests at once, and {key.concurrent} are allowed; wait for one"
            raise Refusal(429, "client limit", sentence, retry_after_s=1)
        if key.rate is None:
            return
        now = self.clock()
        use.level, use.filled_s = min(key.rate, use.level + (now - use.filled_s) * key.rate), now
        if use.level < 1:
            wait_s = (1 - use.level) / key.rate
            raise Refusal(
                429, "client limit", f"the key may make {key.rate} requests per second; slow down", retry_after_s=wait_s
            )
        use.level -= 1
