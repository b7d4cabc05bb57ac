"""The description in the archives of `torch.export` and TorchScript: an additional file, where torch keeps those.

torch itself gives it out: `torch.export.load(file, extra_files={"xception.json": ""})`, and
`torch.jit.load(file, _extra_files={"xception.json": ""})`.
"""

import io
import zipfile
from typing import TYPE_CHECKING

from xception.identity.litert import BROKEN_ARCHIVE, MAX_DOCUMENT_BYTES
from xception.identity.words import IDENTITY_KEY

if TYPE_CHECKING:
    from xception.identity.identity import Identity

EXTRA_FILE = f"extra/{IDENTITY_KEY}.json"
"""Place of the description below the archive's only folder."""


def write(data: bytes, identity: "Identity", document: str) -> bytes:  # noqa: ARG001 - as in every format
    """The file with the description."""
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        # An entry of its own date would make every file another one.
        archive.writestr(zipfile.ZipInfo(f"{_folder(archive)}/{EXTRA_FILE}"), document)
    return file.getvalue()


def read_torch_archive_text(data: bytes) -> str | None:
    """The description, read without torch."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entry = archive.getinfo(f"{_folder(archive)}/{EXTRA_FILE}")
            if entry.file_size > MAX_DOCUMENT_BYTES:
                return None
            return archive.read(entry).decode()
    except BROKEN_ARCHIVE:
        return None


def _folder(archive: zipfile.ZipFile) -> str:
    return archive.namelist()[0].split("/")[0]
