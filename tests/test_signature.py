"""A signed bundle is verified with the signer's key, and nothing else is."""

import base64
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.support.keys import write_keys, write_two_pairs
from xception.bundle import SIGNATURE, Bundle, open_bundle, write_bundle
from xception.errors import CheckFailed, InputError, UsageError
from xception.signature import sign_bundle, verify_signature


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key pairs `private.pem` and `public.pem`, and `other-private.pem` and `other-public.pem`."""
    return write_two_pairs(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def bundle(weights_bundle: Bundle, tmp_path: Path) -> Bundle:
    return open_bundle(shutil.copytree(weights_bundle.path, tmp_path / "bundle"))


@pytest.fixture
def signed(bundle: Bundle, keys: Path) -> Bundle:
    sign_bundle(bundle, keys / "private.pem")
    return open_bundle(bundle.path)


def test_a_signed_bundle_is_verified_and_still_a_bundle(signed: Bundle, keys: Path) -> None:
    assert (signed.path / SIGNATURE).is_file()
    verify_signature(signed, keys / "public.pem")
    verify_signature(signed, str(keys / "public.pem"))


def test_another_key_is_not_the_signers(signed: Bundle, keys: Path) -> None:
    with pytest.raises(CheckFailed, match=r"is not what the owner of .* signed: it is signed with another key"):
        verify_signature(signed, keys / "other-public.pem")


def test_a_claim_to_be_of_another_key_does_not_help(signed: Bundle, keys: Path) -> None:
    # The hint of the key is no part of what is signed, so that anybody can write another one.
    document = json.loads((signed.path / SIGNATURE).read_bytes())
    other = sign_bundle(signed, keys / "other-private.pem", overwrite=True)
    hint = json.loads(other.read_bytes())["verificationMaterial"]
    other.write_text(json.dumps(document | {"verificationMaterial": hint}))
    with pytest.raises(CheckFailed, match="its signature was not made with that key"):
        verify_signature(signed, keys / "other-public.pem")


def test_a_signature_of_another_bundle_is_refused(signed: Bundle, keys: Path, tmp_path: Path) -> None:
    model = msgspec.structs.replace(signed.model, name="another")
    other = write_bundle(tmp_path / "other", model, signed.labels, {signed.main_file.name: signed.content()})
    shutil.copy(signed.path / SIGNATURE, other.path / SIGNATURE)
    with pytest.raises(CheckFailed, match=r"what was signed is another bundle \(.*model\.json"):
        verify_signature(open_bundle(other.path), keys / "public.pem")


def test_a_signature_that_leaves_a_file_out_is_none_of_the_bundle(bundle: Bundle, keys: Path) -> None:
    from model_signing import hashing, signing

    partly = signing.Config().use_elliptic_key_signer(private_key=keys / "private.pem")
    partly.set_hashing_config(hashing.Config().set_ignored_paths(paths=[SIGNATURE, "weights.safetensors"]))
    partly.sign(bundle.path, bundle.path / SIGNATURE)
    with pytest.raises(CheckFailed, match=r"the signature leaves out weights\.safetensors"):
        verify_signature(bundle, keys / "public.pem")


def test_the_signature_is_that_of_other_tools_for_the_format(signed: Bundle, keys: Path) -> None:
    from model_signing import verifying

    theirs = verifying.Config().use_elliptic_key_verifier(public_key=keys / "public.pem")
    theirs.verify(signed.path, signed.path / SIGNATURE)
    document = json.loads((signed.path / SIGNATURE).read_bytes())
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert {entry["name"] for entry in statement["predicate"]["resources"]} == {*signed.model.files, "model.json"}


def test_what_a_file_manager_leaves_beside_does_not_matter(signed: Bundle, keys: Path) -> None:
    (signed.path / ".DS_Store").write_bytes(b"x")
    verify_signature(open_bundle(signed.path), keys / "public.pem")


def test_an_unsigned_bundle_and_a_signature_that_is_none_are_refused(bundle: Bundle, keys: Path) -> None:
    with pytest.raises(CheckFailed, match=r"is not signed: it has no model\.sig"):
        verify_signature(bundle, keys / "public.pem")
    for content in (b"", b"{}", b"[1]", b'{"verificationMaterial": {}}', b"\xff"):
        (bundle.path / SIGNATURE).write_bytes(content)
        with pytest.raises(CheckFailed, match=r"model\.sig is no signature of a model"):
            verify_signature(bundle, keys / "public.pem")


def test_a_bundle_is_signed_anew_only_if_that_is_meant(signed: Bundle, keys: Path) -> None:
    with pytest.raises(InputError, match="is signed already; pass --overwrite"):
        sign_bundle(signed, keys / "other-private.pem")
    sign_bundle(signed, keys / "other-private.pem", overwrite=True)
    verify_signature(signed, keys / "other-public.pem")


def test_keys_that_cannot_be_used_are_named(signed: Bundle, keys: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no key")
    for key, words in ((tmp_path / "none.pem", "cannot read the key"), (tmp_path / "text.pem", "cannot be used")):
        with pytest.raises(InputError, match=rf"{words}.*expected a PEM file with a key on the curve P-256"):
            verify_signature(signed, key)
        with pytest.raises(InputError, match=words):
            sign_bundle(signed, key, overwrite=True)
    write_keys(tmp_path, "rsa-", is_rsa=True)
    with pytest.raises(InputError, match="cannot be used"):
        verify_signature(signed, tmp_path / "rsa-public.pem")
    with pytest.raises(UsageError, match="a key is named by a path"):
        verify_signature(signed, 3)
