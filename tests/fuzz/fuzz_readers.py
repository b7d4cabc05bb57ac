"""Mutate checkpoints that frameworks wrote, and see that each is read or refused, soon and in little memory.

    python tests/fuzz/fuzz_readers.py --cases 100000 [--reader NAME] [--seed N]

Prints one line a reader. A case that ends in anything but a checkpoint or an `InputError`, or that takes longer or more
memory than it may, ends the run with a traceback; its bytes are in the file named first. Case `i` of a reader and a
seed is always the same file.
"""

import argparse
import io
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from xception.byte_span import ByteSpan
from xception.convert.readers import read_checkpoint, tensorbundle
from xception.errors import InputError

SAMPLES = Path(__file__).parents[1] / "convert" / "samples"
READERS = {
    "torch_zip": ("torch_zip.pth", "torch_trainer.pth.tar"),
    "torch_legacy": ("torch_legacy.pth",),
    "safetensors": ("torch.safetensors",),
    "keras_h5": ("keras_full.h5", "keras_weights.h5"),
    "keras_weights_h5": ("keras.weights.h5",),
    "keras_zip": ("keras.keras",),
    "paddle_pdparams": ("paddle_protocol2.pdparams", "paddle_protocol4.pdparams", "paddle_trainer.pdparams"),
    "mindspore_ckpt": ("mindspore.ckpt", "mindspore_crc.ckpt"),
    "tf_bundle": ("tensorflow.ckpt-5.index",),
}
ZIPS = ("torch_zip", "keras_zip")
TF_SHARD = "tensorflow.ckpt-5.data-00000-of-00001"

MAX_CPU_S = 10
"""A hang guard: a case takes milliseconds."""
MEMORY_BYTES = 256 * 2**20
INTERESTING = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**62,
    2**63,
    2**64 - 1,
)


@dataclass
class Tally:
    """What became of the cases of one reader."""

    cases: int = 0
    accepted: int = 0
    reasons: set[str] = field(default_factory=set)
    seconds: float = 0.0
    slowest_s: float = 0.0

    def add(self, reason: str | None, elapsed_s: float) -> None:
        self.cases += 1
        self.seconds += elapsed_s
        self.slowest_s = max(self.slowest_s, elapsed_s)
        if reason is None:
            self.accepted += 1
        else:
            self.reasons.add(re.sub(r"'.*'|\d+", "", reason))


def flip(data: bytearray, position: int, rng: random.Random) -> None:
    data[position] ^= 1 << rng.randrange(8)


def set_byte(data: bytearray, position: int, rng: random.Random) -> None:
    data[position] = rng.randrange(256)


def set_number(data: bytearray, position: int, rng: random.Random) -> None:
    """Put a number that is likely to be a limit where a length, an offset or a count may stand."""
    size = rng.choice((1, 2, 4, 8))
    order = rng.choice("<>")
    raw = struct.pack(f"{order}Q", rng.choice(INTERESTING))
    data[position : position + size] = raw[:size] if order == "<" else raw[-size:]


def add_to_number(data: bytearray, position: int, rng: random.Random) -> None:
    data[position] = (data[position] + rng.randint(-8, 8)) % 256


def truncate(data: bytearray, position: int, rng: random.Random) -> None:
    del data[position:]


def delete(data: bytearray, position: int, rng: random.Random) -> None:
    del data[position : position + rng.randint(1, 16)]


def splice(data: bytearray, position: int, rng: random.Random) -> None:
    """Copy a piece of the file to another place in it, over what is there or in between."""
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 4, 8, 16, 40, 64))]
    data[position : position + rng.choice((0, len(piece)))] = piece


MUTATIONS: tuple[Callable[[bytearray, int, random.Random], None], ...] = (
    flip,
    flip,
    set_byte,
    set_byte,
    set_number,
    set_number,
    add_to_number,
    truncate,
    delete,
    splice,
)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """One to four mutations, mostly where there is something: HDF5 files consist of zeros for the most part."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        position = rng.randrange(len(data))
        while data[position] == 0 and rng.random() < 0.9:
            position = rng.randrange(len(data))
        rng.choice(MUTATIONS)(data, position, rng)
    return bytes(data)


def mend(reader: str, data: bytes, rng: random.Random) -> bytes:
    """Make the checksums right again in most cases, so that what lies behind them is reached."""
    if rng.random() < 0.1:
        return data
    if reader in ZIPS:
        return mend_zip(data)
    return mend_table(data) if reader == "tf_bundle" else data


def mutate_member(content: bytes, rng: random.Random) -> bytes:
    """Mutate a part of an archive, and pack it anew around it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        chosen = rng.choice([name for name in old.namelist() if name.endswith((".pkl", ".json", ".h5"))])
        for name in old.namelist():
            new.writestr(name, mutate(old.read(name), rng) if name == chosen else old.read(name))
    return buffer.getvalue()


def mend_zip(data: bytes) -> bytes:
    """Leave the checksums out, as torch does on request."""
    mended = bytearray(data)
    position = mended.find(b"PK\x01\x02")
    while 0 <= position <= len(mended) - 46:
        mended[position + 16 : position + 20] = bytes(4)
        position = mended.find(b"PK\x01\x02", position + 4)
    return bytes(mended)


def mend_table(data: bytes) -> bytes:
    """Recompute the checksums of the blocks that the footer and the index point to."""
    mended = bytearray(data)
    try:
        span = ByteSpan(memoryview(data))
        footer = ByteSpan(span.take(len(data) - 48, 48))
        _, _, position = tensorbundle._handle(footer, 0)
        index = tensorbundle._handle(footer, position)[:2]
        mend_block(mended, *index)
        for _, value in tensorbundle._records(ByteSpan(span.take(*index))):
            mend_block(mended, *tensorbundle._handle(ByteSpan(value), 0)[:2])
    except InputError:
        pass
    return bytes(mended)


def mend_block(data: bytearray, start: int, size: int) -> None:
    if start + size + 5 <= len(data) and size < len(data):
        checksum = tensorbundle._masked_crc32c(memoryview(bytes(data[start : start + size + 1])))
        struct.pack_into("<I", data, start + size + 1, checksum)


def case(reader: str, seed: int, number: int) -> bytes:
    rng = random.Random(zlib.crc32(f"{reader} {seed} {number}".encode()))
    content = (SAMPLES / rng.choice(READERS[reader])).read_bytes()
    if reader in ZIPS and rng.random() < 0.5:
        return mutate_member(content, rng)
    return mend(reader, mutate(content, rng), rng)


def attempt(path: Path) -> str | None:
    """Read, and return the reason of a refusal; touch every number, because views are only checked when used."""
    try:
        groups = read_checkpoint(path).groups
    except InputError as error:
        return str(error)
    for tensors in groups.values():
        for tensor in tensors.values():
            tensor.tobytes()
    return None


class Hang(Exception):  # no OSError, as TimeoutError is: that would pass for an unreadable file
    """A case took too long."""


@contextmanager
def guarded(failed: Path, data: bytes) -> Iterator[None]:
    """End what takes too long, and keep the data of whatever fails in the file `failed`."""

    def ring(*_: object) -> None:
        raise Hang(f"a case took more than {MAX_CPU_S} s of CPU time")

    # By CPU time, so that a busy machine does not pass for a reader that hangs.
    signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_S)
    try:
        yield
    except BaseException:
        failed.write_bytes(data)
        raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def fuzz(reader: str, numbers: Iterable[int], seed: int, folder: Path) -> Tally:
    """Read the cases with these numbers.

    Raises:
        BaseException: whatever a case raised; the file `failed` in `folder` holds it.
    """
    tally = Tally()
    path = folder / f"{reader}.index"
    (folder / f"{reader}.data-00000-of-00001").write_bytes((SAMPLES / TF_SHARD).read_bytes())
    for number in numbers:
        data = case(reader, seed, number)
        path.write_bytes(data)
        start = perf_counter()
        with guarded(folder / "failed", data):
            reason = attempt(path)
        tally.add(reason and reason.replace(str(path), ""), perf_counter() - start)
    return tally


def report(reader: str, tally: Tally) -> str:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rejected = tally.cases - tally.accepted
    return (
        f"{reader:18} {tally.cases:>8} {rejected:>9} {tally.accepted:>9} {len(tally.reasons):>8} {tally.seconds:>8.1f}"
        f" {1000 * tally.slowest_s:>10.1f} {peak_mb:>8}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--reader", choices=READERS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    in_use_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use_bytes + MEMORY_BYTES,) * 2)
    print("reader                cases  rejected  accepted  reasons  seconds slowest_ms  peak_mb")
    folder = Path(tempfile.mkdtemp())
    print(f"whatever fails is kept in {folder / 'failed'}", file=sys.stderr)
    for reader in [options.reader] if options.reader else READERS:
        print(report(reader, fuzz(reader, range(options.cases), options.seed, folder)), flush=True)


if __name__ == "__main__":
    main()
