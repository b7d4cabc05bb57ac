import sys
from pathlib import Path

import pytest

from xception.errors import MissingExtra
from xception.extras import optional, require


def test_an_installed_package_is_imported() -> None:
    assert require("json.decoder", "x") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["not_installed_anywhere", "not_installed_anywhere.inside"])
def test_a_missing_package_is_announced_with_its_extra(module: str) -> None:
    with pytest.raises(MissingExtra, match=r"'not_installed_anywhere'.*pip install 'xception\[toys\]'") as caught:
        require(module, "toys")
    assert caught.value.extra == "toys"


def test_a_broken_import_inside_a_package_is_not_taken_for_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_inside.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        require("broken_inside", "toys")


def test_what_only_makes_faster_is_imported_or_is_none() -> None:
    assert optional("json.decoder") is sys.modules["json.decoder"]
    assert optional("not_installed_anywhere") is None
