import json
import shutil
from pathlib import Path

import pytest

from tests.support.keys import write_two_pairs
from xception.bundle import SIGNATURE, Bundle, open_bundle
from xception.cli.app import run
from xception.signature import sign_bundle


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_pairs(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signed(weights_bundle: Bundle, keys: Path, tmp_path: Path) -> Bundle:
    bundle = open_bundle(shutil.copytree(weights_bundle.path, tmp_path / "bundle"))
    sign_bundle(bundle, keys / "private.pem")
    return bundle


def test_the_exit_code_is_0_for_the_signers_key_and_1_for_another(
    signed: Bundle, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(signed.path)
    assert run(["verify", place, "--public-key", str(keys / "public.pem"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == signed.model.digest
    assert run(["verify", place, "--public-key", str(keys / "other-public.pem")]) == 1
    (signed.path / SIGNATURE).unlink()
    assert run(["verify", place, "--public-key", str(keys / "public.pem")]) == 1
    assert "is not signed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["weights.safetensors", "labels.txt", "model.json", SIGNATURE])
def test_a_changed_byte_anywhere_ends_the_command_with_a_sentence(
    name: str, signed: Bundle, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((signed.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (signed.path / name).write_bytes(content)
    code = run(["verify", str(signed.path), "--public-key", str(keys / "public.pem")])
    assert code == (1 if name == SIGNATURE else 3)
    assert str(signed.path) in capsys.readouterr().err
