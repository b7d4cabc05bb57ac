"""The limits of the service, each with its default, and the most memory that they allow."""

from dataclasses import dataclass, fields
from math import inf

from xception.errors import UsageError

MIB = 1 << 20

DECODED_BYTES_PER_PX = 18
"""Bytes that an image takes while it becomes pixels, at most: those of its decoder, of which WebP's takes most, or the
image and what its resize makes of it, where a model keeps fractions."""

DECODER_BYTES = 96 * MIB
"""Bytes of an image's decoder whatever its size, most of them for texts that a PNG file has around its pixels."""

COPIES_OF_A_BODY = 3
"""A request's body as it came, inflated, and its parts; a reply's parts, whole, and what of it is being written."""

PART_BYTES = 1 << 16
"""Bytes of a reply that are handed on at once: the next ones follow when the client has taken them."""

JSON_GROWTH = 24
"""Bytes of Python's numbers per byte of JSON at most, while a document is read; one is read at a time."""

FLOAT_BYTES = 4
JSON_NUMBER_BYTES = 25
"""A float32 with all its digits, its sign, its exponent and a comma."""

TEXT_BYTES = 160
"""Bytes that a label has around it in a reply: its index and values, with their names."""

REPLY_HEAD_BYTES = 1 << 14
"""Bytes that a reply has but once, its identifier included."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of the service; every one is an option of `xception serve`, with these words as its help.

    Raises:
        UsageError: one is below 1, or they contradict one another.
    """

    timeout_s: float = 10.0
    """Seconds that a request may take; it may ask for fewer."""
    max_body_mb: int = 16
    """Largest body of a request in mebibytes, both as it comes and inflated."""
    max_bodies_mb: int = 256
    """Largest size of all bodies at once in mebibytes: those of requests, and replies until they are sent."""
    max_images: int = 64
    """Most images in one request."""
    max_pixels: int = 50_000_000
    """Most pixels in one image; a pixel counts as four once the image is resized."""
    max_queued: int = 256
    """Most images that wait for one model."""
    max_header_kb: int = 32
    """Largest headers of a request in kibibytes."""
    header_timeout_s: float = 10.0
    """Seconds for a request's headers, and between two requests of a connection."""
    body_timeout_s: float = 30.0
    """Seconds for a request's body, and for its client to take the reply."""
    max_connections: int = 1024
    """Most connections at once."""
    drain_s: int = 30
    """Seconds for the answers that are still due when the server is told to end."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            if not 0 < getattr(self, limit.name) < inf:
                raise UsageError(
                    f"--{limit.name.replace('_', '-')} is {getattr(self, limit.name):g}; expected a number above 0"
                )
        if self.max_body_mb > self.max_bodies_mb:
            raise UsageError(
                f"one body may have {self.max_body_mb} MiB and all of them {self.max_bodies_mb}; raise --max-bodies-mb"
            )
        if self.max_images > self.max_queued:
            raise UsageError(
                f"one request may have {self.max_images} images and {self.max_queued} may wait; lower --max-images"
            )

    @property
    def max_body_bytes(self) -> int:
        """Bytes of a body."""
        return self.max_body_mb * MIB

    def memory_bytes(self, decoding_threads: int, *, over_grpc: bool = False) -> int:
        """The most memory that requests may take, without the models and the program.

        Args:
            decoding_threads: images that are decoded at the same time.
            over_grpc: the service is asked over gRPC, too, where messages that come are counted once they are whole.
        """
        bodies = (COPIES_OF_A_BODY + over_grpc) * self.max_bodies_mb * MIB
        images = decoding_threads * (self.max_pixels * DECODED_BYTES_PER_PX + DECODER_BYTES)
        # What a connection reads and writes has a buffer each, of twice the headers.
        connections = (1 + over_grpc) * self.max_connections * (4 * self.max_header_kb * 1024 + PART_BYTES)
        return bodies + images + connections + JSON_GROWTH * self.max_body_bytes


DEFAULT_LIMITS = Limits()
