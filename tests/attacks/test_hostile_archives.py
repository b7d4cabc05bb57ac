"""Zip archives and safetensors files that contradict themselves."""

import io
import json
import struct
import zipfile
from pathlib import Path

import pytest

from xception.convert.readers import checkpoint, limits, read_checkpoint
from xception.errors import InputError


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, raw in members.items():
            file.writestr(name, raw)
    return buffer.getvalue()


GOOD_ZIP = zip_of({"a/data.pkl": b"first", "b": b"second"})


def patched(signature: bytes, offset: int, layout: str, *values: int, last: bool = False) -> bytes:
    """The good archive with numbers changed at `offset` behind a signature's first or last occurrence."""
    raw = bytearray(GOOD_ZIP)
    start = raw.rindex(signature) if last else raw.index(signature)
    struct.pack_into("<" + layout, raw, start + offset, *values)
    return bytes(raw)


ENTRY, END = b"PK\x01\x02", b"PK\x05\x06"
ZIPS = {
    "a compressed bomb": (zip_of({"a/data.pkl": bytes(10**7)}, zipfile.ZIP_DEFLATED), "compressed or encrypted"),
    "an encrypted part": (patched(ENTRY, 8, "H", 1), "compressed or encrypted"),
    "a part that would swell": (patched(ENTRY, 24, "I", 10**6), "compressed or encrypted"),
    "parts that overlap": (patched(ENTRY, 42, "I", 0, last=True), "overlap"),
    "a part outside of the file": (patched(ENTRY, 42, "I", 10**6), "no part begins at byte 1000000"),
    "a part longer than the file": (patched(ENTRY, 20, "II", 10**6, 10**6), "refers to 1000000 bytes"),
    "a part of wrong content": (patched(ENTRY, 16, "I", 12345), "checksum of its part 'a/data.pkl'"),
    "two parts of one name": (zip_of({"a/data.pkl": b"", "b/data.pkl": b""}).replace(b"b/", b"a/"), "two parts named"),
    "a table of contents outside": (patched(END, 16, "I", 10**6), "cut short"),
    "a table of contents cut short": (patched(END, 10, "H", 3), "cut short"),
    "no table of contents": (GOOD_ZIP[:-22], "table of contents is missing"),
    "four billion parts": (
        GOOD_ZIP[:-22]
        + struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**32, 2**32, 100, 0)
        + struct.pack("<4sIQI", b"PK\x06\x07", 0, len(GOOD_ZIP) - 22, 1)
        + GOOD_ZIP[-22:],
        "an archive of 4294967296 files",
    ),
    "an end that is nowhere": (
        GOOD_ZIP[:-22] + struct.pack("<4sIQI", b"PK\x06\x07", 0, 2**60, 1) + GOOD_ZIP[-22:],
        "table of contents is missing",
    ),
    "neither torch nor Keras": (
        zip_of({"../../evil": b"x", "/etc/passwd": b"y"}),
        "neither torch's data.pkl nor Keras'",
    ),
    "Keras' weights that are none": (zip_of({"model.weights.h5": b"x"}), "only 1 are there"),
    "a TorchScript program": (zip_of({"a/data.pkl": b"", "a/constants.pkl": b""}), "a TorchScript program"),
    "another byte order": (zip_of({"a/data.pkl": b"", "a/byteorder": b"big"}), "big-endian machine"),
    "a name that is not UTF-8": (GOOD_ZIP.replace(b"a/data.pkl", b"\xff/data.pkl"), "not UTF-8"),
}


@pytest.mark.parametrize("attack", ZIPS)
def test_an_archive_is_refused(attack: str, refused) -> None:
    refused(*ZIPS[attack])


def test_nothing_is_written_where_a_name_points(refused, tmp_path: Path) -> None:
    before = set(tmp_path.parent.iterdir())
    refused(zip_of({"../evil": b"x", "a/data.pkl": b"."}), "more from the stack")
    assert set(tmp_path.parent.iterdir()) == before


def safetensors(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(start: int, stop: int, *shape: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


SAFETENSORS = {
    "tensors that overlap": (safetensors({"a": entry(0, 8, 2), "b": entry(4, 12, 2)}, bytes(12)), "'b' .* from byte 8"),
    "tensors in the same place": (safetensors({"a": entry(0, 8, 2), "b": entry(0, 8, 2)}, bytes(8)), "from byte 8"),
    "a gap": (safetensors({"a": entry(0, 4, 1), "b": entry(8, 12, 1)}, bytes(12)), "from byte 4"),
    "a gap at the end": (safetensors({"a": entry(0, 4, 1)}, bytes(8)), "take 4 bytes, but 8 are there"),
    "a tensor outside of the file": (safetensors({"a": entry(0, 2**40, 2**38)}, bytes(8)), "only 8 are there"),
    "a tensor that ends before it begins": (safetensors({"a": entry(0, -4, 1)}, bytes(8)), "refers to -4 bytes"),
    "a shape that does not fit": (safetensors({"a": entry(0, 4, 2)}, bytes(4)), r"shape \(2,\) .* in 4 bytes"),
    "a shape that overflows": (safetensors({"a": entry(0, 0, 2**62, 4)}), "impossible shape"),
    "a huge shape next to zero": (safetensors({"a": entry(0, 0, 0, 2**62)}), "impossible shape"),
    "a negative shape": (safetensors({"a": entry(0, 16, -2, -2)}, bytes(16)), "impossible shape"),
    "a number of four thousand digits": (safetensors(b'{"a":{"shape":[%s]}}' % (b"9" * 4000)), "header"),
    "a number of five thousand digits": (safetensors(b'{"a":{"shape":[%s]}}' % (b"9" * 5000)), "header"),
    "an unknown type": (safetensors({"a": entry(0, 4, 1, dtype="F8_E4M3")}, bytes(4)), "'F8_E4M3'"),
    "an unknown field": (safetensors({"a": entry(0, 4, 1) | {"code": "x"}}, bytes(4)), "another way than safetensors"),
    "metadata that is no text": (safetensors({"__metadata__": {"a": 1}}), "__metadata__ is not text"),
    "no tensors": (safetensors({}), "take 0 bytes"),
    "a header without end": (struct.pack("<Q", 2**63) + b"{}", "only [0-9]+ are there"),
    "a header too large": (safetensors(b"{" + b" " * limits.MAX_JSON_BYTES + b"}"), "expected at most"),
    "a header that is no object": (safetensors(b"{" + b"[]"), "not a JSON object"),
    "a header too deep": (safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "not a JSON object"),
    "a header full of lists": (safetensors(b'{"a":[' + b"[]," * 500_000 + b"[]]}"), "another way than safetensors"),
    "a name that drives a terminal": (safetensors({"\x1b[2J": entry(0, 4, 1)}, bytes(4)), "unprintable"),
    "a name of half a character": (safetensors({"\ud800": entry(0, 4, 1)}, bytes(4)), "unprintable|JSON"),
    "an endless name": (safetensors({"a" * 2000: entry(0, 4, 1)}, bytes(4)), "overlong"),
}


@pytest.mark.parametrize("attack", SAFETENSORS)
def test_a_safetensors_file_is_refused(attack: str, refused) -> None:
    refused(*SAFETENSORS[attack])


def test_too_many_tensors_are_refused(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_TENSORS", 1000)
    refused(safetensors({str(i): entry(0, 0, 0) for i in range(1001)}), "more than 1000 tensors")


def test_a_model_folder_needs_a_description_and_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no bundle and no model folder: expected config.json and"):
        read_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(safetensors({"a": entry(0, 4, 1)}, bytes(4)))
    (tmp_path / "config.json").write_bytes(b"[" * 100_000)
    with pytest.raises(InputError, match=r"config.json is not a JSON object"):
        read_checkpoint(tmp_path)
