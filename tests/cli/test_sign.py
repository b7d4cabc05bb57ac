import shutil
import sys
from pathlib import Path

import pytest

from tests.support.keys import write_keys
from xception.bundle import SIGNATURE, Bundle, open_bundle
from xception.cli.app import run
from xception.signature import verify_signature


@pytest.fixture
def bundle(weights_bundle: Bundle, tmp_path: Path) -> Bundle:
    return open_bundle(shutil.copytree(weights_bundle.path, tmp_path / "bundle"))


def test_a_bundle_is_signed_and_the_next_command_said(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_keys(tmp_path)
    assert run(["sign", str(bundle.path), "--private-key", str(tmp_path / "private.pem")]) == 0
    said = capsys.readouterr()
    assert str(bundle.path / SIGNATURE) in said.out
    assert f"next: xception verify {bundle.path}" in said.err
    verify_signature(bundle, tmp_path / "public.pem")


def test_an_encrypted_key_needs_its_password(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_keys(tmp_path, password=b"secret")
    command = ["sign", str(bundle.path), "--private-key", str(tmp_path / "private.pem")]
    assert run(command) == 3
    assert "Password was not given" in capsys.readouterr().err
    monkeypatch.setenv("XCEPTION_KEY_PASSWORD", "wrong")
    assert run(command) == 3
    monkeypatch.setenv("XCEPTION_KEY_PASSWORD", "secret")
    assert run(command) == 0
    verify_signature(bundle, tmp_path / "public.pem")


@pytest.mark.parametrize("verb", [["sign", "--private-key"], ["verify", "--public-key"]])
def test_without_the_package_one_sentence_says_how_to_get_it(
    verb: list[str], bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    assert run([verb[0], str(bundle.path), verb[1], "a.pem"]) == 3
    said = capsys.readouterr().err
    assert "'model_signing'" in said
    assert "[sign]'" in said
    assert said.count("\n") == 1
