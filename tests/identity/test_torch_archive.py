import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from xception.bundle import Bundle, open_bundle
from xception.cli.app import run
from xception.export.export import export_bundle
from xception.forms import Form
from xception.identity.identity import identity_of, read_identity
from xception.identity.litert import DOCUMENT_FILE, read_litert_text
from xception.identity.torch_archive import EXTRA_FILE, read_torch_archive_text


def by_torch(form: Form, data: bytes) -> str:
    """The description as torch's own readers give it out."""
    extra: dict[str, Any] = {"xception.json": ""}
    if form == "pt2":
        torch.export.load(io.BytesIO(data), extra_files=extra)
        return str(extra["xception.json"])
    with pytest.warns(DeprecationWarning):
        torch.jit.load(io.BytesIO(data), _extra_files=extra)
    return str(extra["xception.json"], "utf-8")


@pytest.mark.parametrize("form", ["pt2", "torchscript"])
def test_a_lone_file_says_what_it_is_and_torch_gives_it_out(
    form: Form, weights_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_bundle(weights_bundle, form, tmp_path / "exported")
    exported = open_bundle(tmp_path / "exported")
    lone = tmp_path / f"lone{exported.main_file.suffix}"
    lone.write_bytes(exported.content())
    assert read_identity(lone) == identity_of(exported.model, exported.labels)
    assert by_torch(form, exported.content()) == read_torch_archive_text(exported.content())
    assert run(["info", str(lone)]) == 0
    printed = capsys.readouterr().out
    assert "mini_xception" in printed
    assert weights_bundle.model.digest in printed


def archive(entry: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(entry, content)
    return file.getvalue()


def damaged(method: int) -> bytes:
    """An archive whose entries lost the first bytes of what was packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for entry in (f"archive/{EXTRA_FILE}", DOCUMENT_FILE):
            made.writestr(entry, b"{}" * 50)
    data = bytearray(file.getvalue())
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        for info in read.infolist():
            start = info.header_offset + 30 + len(info.filename)
            data[start : start + 8] = b"\xff" * 8
    return bytes(data)


BROKEN_STREAMS = [damaged(method) for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)]


@pytest.mark.parametrize("read", [read_torch_archive_text, read_litert_text])
@pytest.mark.parametrize("data", BROKEN_STREAMS)
def test_a_damaged_description_is_none(data: bytes, read: Callable[[bytes], str | None]) -> None:
    assert read(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 broken",
        archive("archive/data.pkl", b"x"),
        archive(f"archive/{EXTRA_FILE}", b"\xff\xfe"),
        archive(f"archive/{EXTRA_FILE}", b"{}").replace(b"{}", b"{]", 1),
    ],
)
def test_other_archives_and_broken_ones_have_no_description(data: bytes) -> None:
    assert read_torch_archive_text(data) is None
