from pathlib import Path

from safetensors import safe_open

from tests.identity.described import content
from xception.bundle import Bundle
from xception.forms import Form


def test_tools_of_safetensors_show_the_document(forms: dict[Form, Bundle], tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content("weights", forms))
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        assert "mini_xception" in file.metadata()["xception"]
        assert len(file.keys()) > 10
