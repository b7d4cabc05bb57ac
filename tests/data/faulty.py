"""Files with faults, each made on purpose."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.support.samples import encoded, picture


def jpeg(seed: int, **options: object) -> bytes:
    return encoded(picture(96, 80, seed), "JPEG", quality=90, **options)


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(share * len(data))]


def closed_again(data: bytes) -> bytes:
    """A cut JPEG with an end mark behind it, which decoders take without complaint."""
    return cut(data) + b"\xff\xd9"


def turned(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(seed, exif=exif.tobytes())


def sixteen_bit_rgb(seed: int) -> bytes:
    """A PNG of 16 bits per channel, which Pillow can read and not write."""
    pixels = np.asarray(picture(24, 20, seed)).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 24, 20, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def sixteen_bit_gray(seed: int) -> bytes:
    return encoded(Image.fromarray(np.asarray(picture(24, 20, seed, "L")).astype(np.uint16) * 257))


def animated(seed: int) -> bytes:
    file = io.BytesIO()
    first, second = picture(40, 30, seed), picture(40, 30, seed + 1000)
    first.save(file, "GIF", save_all=True, append_images=[second])
    return file.getvalue()


def resaved(seed: int) -> bytes:
    """The picture of `jpeg(seed)`, smaller and compressed harder."""
    return encoded(picture(96, 80, seed).resize((72, 60), Image.Resampling.BICUBIC), "JPEG", quality=60)
