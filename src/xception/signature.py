"""Signatures of bundles: they say who made one, where a digest only says that it is whole.

`model.sig` follows the OpenSSF's specification for models, so that other tools for it read and write the same file.
Nothing here asks the network: a signature is checked with the signer's public key, which came by another way.
"""

import base64
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from xception import inputs
from xception.arguments import as_path
from xception.bundle import MANIFEST, SIGNATURE, Bundle
from xception.errors import CheckFailed, InputError, first_line
from xception.extras import require
from xception.outputs import write_file

SIGNING_PACKAGES = ("model_signing", "OpenSSL")
"""The packages that sign and verify."""

USABLE_KEYS = "a PEM file with a key on the curve P-256, P-384 or P-521"

KEY_LIMIT = inputs.Limit(1 << 20, "a key")
"""A key has some hundred bytes."""


def sign_bundle(
    bundle: Bundle, private_key: str | Path, *, password: str | None = None, overwrite: bool = False
) -> Path:
    """Sign all files of a bundle, and return the path of the signature, which is written into the bundle.

    Args:
        bundle: a bundle that was opened, and so is whole.
        private_key: a file with an elliptic key in PEM.
        password: the password of the key, if it is encrypted.
        overwrite: replace a signature that is there.

    Raises:
        InputError: the key cannot be used, or the bundle is signed already.
        EnvironmentFault: the signature cannot be written.
        MissingExtra: model-signing is not installed.
    """
    place = bundle.path / SIGNATURE
    if place.exists() and not overwrite:
        raise InputError(f"{bundle.path} is signed already; pass --overwrite to replace the signature")
    path = _key_file(private_key)
    secret = None if password is None else password.encode()
    with _key_errors(path):
        signer = (
            require("model_signing.signing", "sign").Config().use_elliptic_key_signer(private_key=path, password=secret)
        )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / SIGNATURE
        signer.set_hashing_config(_hashing(bundle)).sign(bundle.path, made)
        write_file(place, inputs.read_bytes(made, inputs.DOCUMENT_LIMIT))
    return place


def verify_signature(bundle: Bundle, public_key: str | Path) -> None:
    """Check that the owner of a key has signed a bundle as it is now.

    Args:
        bundle: a bundle that was opened, and so is whole.
        public_key: a file with the public key in PEM.

    Raises:
        CheckFailed: the bundle is not signed, or by another key, or not as it is.
        InputError: the key cannot be used.
        MissingExtra: model-signing is not installed.
    """
    path = _key_file(public_key)
    with _key_errors(path):
        verifier = require("model_signing.verifying", "sign").Config().use_elliptic_key_verifier(public_key=path)
    content = _read_signature(bundle)
    try:
        with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
            read = Path(folder) / SIGNATURE
            read.write_bytes(content)  # what is checked is what was read through the door
            verifier.set_hashing_config(_hashing(bundle)).verify(bundle.path, read)
    # A signature that is none fails in whichever of four packages meets it first.
    except Exception as error:
        raise _unsigned(bundle, path, _reason(error)) from error
    if missing := {*bundle.model.files, MANIFEST} - _signed_names(content):
        raise _unsigned(bundle, path, f"the signature leaves out {', '.join(sorted(missing))}")


def _key_file(key: str | Path) -> Path:
    path = as_path(key, "a key")
    try:
        inputs.read_bytes(path, KEY_LIMIT)
    except OSError as error:
        raise InputError(f"cannot read the key {path}: {error.strerror}; expected {USABLE_KEYS}") from error
    return path


@contextmanager
def _key_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError) as error:  # the last one for keys of other kinds
        raise InputError(f"the key {path} cannot be used ({first_line(error)}); expected {USABLE_KEYS}") from error


def _hashing(bundle: Bundle) -> Any:
    """The way to hash a bundle: every file that belongs to it, and nothing that a file manager left next to them."""
    others = [path.name for path in bundle.path.iterdir() if path.name not in (*bundle.model.files, MANIFEST)]
    config = require("model_signing.hashing", "sign").Config()
    return config.set_ignored_paths(paths=[SIGNATURE, *others], ignore_git_paths=False)


def _read_signature(bundle: Bundle) -> bytes:
    place = bundle.path / SIGNATURE
    try:
        return inputs.read_bytes(place, inputs.DOCUMENT_LIMIT, follow_link=False)
    except FileNotFoundError:
        raise CheckFailed(f"{bundle.path} is not signed: it has no {SIGNATURE}; get it from its maker") from None
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}; get the signature again") from error


def _reason(error: Exception) -> str:
    words = first_line(error)
    if type(error).__name__ == "InvalidSignature":
        return "its signature was not made with that key"
    if "Key mismatch" in words:
        return "it is signed with another key"
    if "Signature mismatch" in words:
        return f"what was signed is another bundle ({words.partition('Signature mismatch: ')[2]})"
    return f"{SIGNATURE} is no signature of a model ({words})"


def _signed_names(signature: bytes) -> set[str]:
    """Names of the files that a verified signature is about."""
    payload = inputs.parse_json(signature, dict)["dsseEnvelope"]["payload"]
    return {entry["name"] for entry in inputs.parse_json(base64.b64decode(payload), dict)["predicate"]["resources"]}


def _unsigned(bundle: Bundle, key: Path, reason: str) -> CheckFailed:
    return CheckFailed(
        f"{bundle.path} is not what the owner of {key} signed: {reason}; get bundle, signature and key from their maker"
    )
