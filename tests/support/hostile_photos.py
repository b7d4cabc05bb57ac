"""Image files as nobody should send them: of all kinds, broken, or that say more than they are."""

import random
import struct
import zlib

from PIL import Image, PngImagePlugin

from tests.support.samples import encoded, picture

KINDS = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "RGBA", "LA", "P", "1", "I;16"),
    "GIF": ("P", "L"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("RGB", "L", "CMYK", "I;16", "F", "1"),
    "BMP": ("RGB", "P"),
    "PCX": ("RGB",),
    "ICO": ("RGBA",),
}
"""Modes in which a format can be written, by Pillow's names."""

NO_PHOTOS = (
    b"",
    b"broken",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"PK\3\4" + bytes(30),
    b"%PDF-1.7\n",
    bytes(99),
)

TURNED = {orientation: Image.Exif() for orientation in (1, 3, 6, 8, 9, 65535)}
for _orientation, _exif in TURNED.items():
    _exif[0x112] = _orientation


def drawn_photo(rng: random.Random) -> bytes:
    """A file of some kind, whole or broken."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(NO_PHOTOS)
    if kind == 1:
        return bomb(rng.choice((1, 9_000, 65_535)), rng.choice((1, 9_000, 2**31 - 1)))
    data = bytearray(_sound_photo(rng))
    for _ in range(rng.choice((0, 0, 1, 5, 50))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def _sound_photo(rng: random.Random) -> bytes:
    file_format = rng.choice(tuple(KINDS))
    mode = rng.choice(KINDS[file_format])
    size = rng.choice(((40, 30), (30, 40), (1, 1), (1, 400), (400, 1))) if file_format != "ICO" else (40, 40)
    is_plain = mode in ("I;16", "F")
    image = Image.new(mode, size) if is_plain else picture(*size, seed=rng.randrange(5)).convert(mode)
    options: dict[str, object] = {}
    if file_format in ("GIF", "WEBP", "TIFF", "PNG") and not is_plain and rng.random() < 0.3:
        options = {"save_all": True, "append_images": [image.rotate(180)]}
    if file_format in ("JPEG", "PNG", "WEBP") and rng.random() < 0.3:
        options["exif"] = rng.choice(tuple(TURNED.values()))
    return encoded(image, file_format, **options)


def bomb(width: int, height: int) -> bytes:
    """A PNG file that says it has so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def wordy_png(characters: int) -> bytes:
    """A PNG file with so much text, in characters that take four bytes each."""
    texts, size = PngImagePlugin.PngInfo(), PngImagePlugin.MAX_TEXT_CHUNK - 8
    for number in range(characters // size):
        texts.add_itxt(f"text {number}", "\U0001f40d" + "x" * (size - 4), zip=True)
    return encoded(picture(), "PNG", pnginfo=texts)


def tiled_tiff(tile_px: int) -> bytes:
    """A TIFF image of 16 by 16 pixels that lies in one large tile."""
    tile = zlib.compress(bytes(tile_px * tile_px), 1)
    stated = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile_px, 323: tile_px}
    offset = 8 + 2 + 12 * (len(stated) + 2) + 4
    entries = [*stated.items(), (324, offset), (325, len(tile))]
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4) + tile


def worded_tiff(tag: int) -> bytes:
    """A TIFF image of which Pillow warns in words of the file's own: a value of a tag is larger than the file."""
    image = bytearray(encoded(picture(), "TIFF"))
    (place,) = struct.unpack("<I", image[4:8])
    (count,) = struct.unpack("<H", image[place : place + 2])
    image[place + 2 + 12 * (count - 1) : place + 2 + 12 * count] = struct.pack("<HHII", tag, 2, 1 << 30, 8)
    return bytes(image)
