"""A process that prepares images: threads of one process take turns in the interpreter, processes do not.

The two ends of a pair of pipes. A request is the way to the pixels and a file, a reply is what is said about the
image and its pixels; each part is preceded by its length.
"""

import os
import struct
import sys
from functools import lru_cache
from typing import IO, TYPE_CHECKING, BinaryIO

import msgspec
import numpy as np
from PIL import Image, PngImagePlugin

from xception import platforms
from xception.errors import DecodeError
from xception.pipeline.prepare import Preparation, PreparedImage, prepare_image
from xception.preprocess import Levels

if TYPE_CHECKING:
    from subprocess import Popen

LENGTHS = struct.Struct("<II")
"""Lengths in bytes of the two parts of a message."""

ATTEMPTS = 2
"""Processes that may end over one image before it counts as one that cannot be decoded."""

PIPE_BYTES = 1 << 20
"""Size of a pipe, so that an image needs few turns of writer and reader."""


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The first part of a request, behind which the file follows."""

    way: Preparation
    max_pixels: int | None
    """Pillow's limit, which the process that asks may have changed."""
    max_text_characters: int
    """The same for texts in PNG files."""


class AboutImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first part of a reply, behind which the pixels follow."""

    shape: tuple[int, ...] = ()
    dtype: str = "uint8"
    warning: str | None = None
    refusal: str | None = None
    """Reason why the image has no pixels."""
    mistake: str | None = None
    """An error that no image should cause."""


class PreparingProcess:
    """Prepares images in a process of its own, one at a time, which is started with the first.

    A file on which the process ends, such as one that makes a decoder crash, is tried once more in a new process, and
    then counts as one that cannot be decoded.
    """

    def __init__(self) -> None:
        self._process: Popen[bytes] | None = None

    def __call__(self, loaded: bytes | Image.Image, way: Preparation) -> PreparedImage:
        """Do the same as `prepare_image`; what is no file is prepared by the caller's thread."""
        if not isinstance(loaded, bytes):
            return prepare_image(loaded, way)
        for _ in range(ATTEMPTS):
            try:
                about, levels = _exchanged(self._running(), loaded, way)
            except (BrokenPipeError, EOFError):
                status = self._end()
            except BaseException:
                self._end()  # else its reply would be taken for that to the next request
                raise
            else:
                return _image(msgspec.msgpack.decode(about, type=AboutImage), levels)
        raise DecodeError(f"the process that decoded it ended with the status {status}, {ATTEMPTS} times")

    def close(self) -> None:
        """End the process, if one was started."""
        if self._process:
            self._end()

    def _running(self) -> "Popen[bytes]":
        if self._process is None:
            import subprocess  # which most runs do without

            # Modules come from where this process has them, and not from the folder in which the command was given.
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            command = [sys.executable, "-P", "-W", "ignore", "-m", __name__]
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, process_group=0
            )
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    platforms.widen_pipe(pipe.fileno(), PIPE_BYTES)
        return self._process

    def _end(self) -> int:
        """End the process, and tell its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            process.communicate()
        except (BrokenPipeError, ValueError):
            process.kill()
        return process.wait()


def _exchanged(process: "Popen[bytes]", file: bytes, way: Preparation) -> tuple[bytes, bytes]:
    """A process' reply to a request.

    Raises:
        EOFError, BrokenPipeError: the process ended.
    """
    if process.stdin is None or process.stdout is None:
        raise EOFError
    _send(process.stdin, _encoded(way, Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_MEMORY), file)
    return _received(process.stdout)


def _image(about: AboutImage, levels: bytes) -> PreparedImage:
    """The image that a reply holds.

    Raises:
        DecodeError: it cannot be decoded.
    """
    if about.mistake:
        raise RuntimeError(f"preparing an image failed in another process: {about.mistake}")
    if about.refusal:
        raise DecodeError(about.refusal)
    return PreparedImage(np.frombuffer(levels, about.dtype).reshape(about.shape), about.warning)


@lru_cache(maxsize=16)
def _encoded(way: Preparation, max_pixels: int | None, max_text_characters: int) -> bytes:
    return msgspec.msgpack.encode(ImageRequest(way=way, max_pixels=max_pixels, max_text_characters=max_text_characters))


@lru_cache(maxsize=16)
def _decoded(request: bytes) -> ImageRequest:
    return msgspec.msgpack.decode(request, type=ImageRequest)


def _send(pipe: IO[bytes], about: bytes, content: bytes | memoryview) -> None:
    pipe.write(LENGTHS.pack(len(about), len(content)) + about)
    pipe.write(content)
    pipe.flush()


def _received(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """The two parts of a message.

    Raises:
        EOFError: there is none, or not all of it.
    """
    head = pipe.read(LENGTHS.size)
    if len(head) < LENGTHS.size:
        raise EOFError
    first, second = LENGTHS.unpack(head)
    parts = pipe.read(first), pipe.read(second)
    if len(parts[0]) < first or len(parts[1]) < second:
        raise EOFError
    return parts


def _reply_to_all(requests: BinaryIO, replies: BinaryIO) -> None:
    """AboutImage requests until there are no more."""
    while True:
        try:
            request, file = _received(requests)
        except EOFError:
            return
        asked = _decoded(request)
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_MEMORY = asked.max_pixels, asked.max_text_characters
        about, levels = _reply(file, asked.way)
        _send(replies, msgspec.msgpack.encode(about), np.ascontiguousarray(levels).data.cast("B"))


def _reply(file: bytes, way: Preparation) -> tuple[AboutImage, Levels]:
    nothing = np.empty(0, np.uint8)
    try:
        levels, warning = prepare_image(file, way)
    except DecodeError as error:
        return AboutImage(refusal=str(error)), nothing
    except Exception as error:
        return AboutImage(mistake=f"{type(error).__name__}: {error}"), nothing
    return AboutImage(shape=levels.shape, dtype=levels.dtype.name, warning=warning), levels


def _main() -> None:
    """Prepare what comes from the standard input until that ends."""
    # What a decoder prints must not get among the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _reply_to_all(sys.stdin.buffer, replies)


if __name__ == "__main__":
    _main()
