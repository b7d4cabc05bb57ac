"""Damaged JPEG files: how many are refused, found or not noticed: `python -m benchmarks.damage FOLDER [--files 86]`.

Each photograph above 30 kB is damaged in five ways, always the same ones, and looked at as `xception data check` and
`xception evaluate` do. The photographs themselves come first: what is found among them is a false alarm.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from xception.checks.inspection import inspect
from xception.data.damage import libjpeg_warning

MIN_BYTES = 30_000
END = b"\xff\xd9"
SECTOR_BYTES = 512
GAP_BYTES = 1024


class Outcome(NamedTuple):
    """Files of one kind of damage: those that cannot be decoded, those of which libjpeg warns, those in which a check
    finds something, and the others."""

    kind: str
    files: int
    refused: int
    warned: int
    found: int
    sound: int


def damaged(data: bytes, other: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """A photograph in each kind of damage; `other` is another photograph."""
    place = rng.randrange(len(data) // 4, len(data) - 2 * GAP_BYTES)
    flipped = bytes([data[place] ^ (1 << rng.randrange(8))])
    yield "one bit flipped", data[:place] + flipped + data[place + 1 :]
    yield "512-byte sector zeroed", data[:place] + bytes(SECTOR_BYTES) + data[place + SECTOR_BYTES :]
    yield "1 KiB missing", data[:place] + data[place + GAP_BYTES :]
    yield "cut in half, closed", data[: len(data) // 2] + END
    yield "second half of another file", data[: len(data) // 2] + other[len(other) // 2 :]


def outcomes(photographs: Sequence[bytes], seed: int = 3) -> list[Outcome]:
    """The outcome of each kind, that of the sound photographs first."""
    rng = random.Random(seed)
    kinds: dict[str, list[bytes]] = {"sound": list(photographs)}
    for number, data in enumerate(photographs):
        for kind, file in damaged(data, photographs[(number + 1) % len(photographs)], rng):
            kinds.setdefault(kind, []).append(file)
    return [outcome(kind, files) for kind, files in kinds.items()]


def outcome(kind: str, files: Sequence[bytes]) -> Outcome:
    """The outcome of files of one kind."""
    looked = [inspect(file, "a.jpg") for file in files]
    refused = sum(one.image is None for one in looked)
    found = sum(one.image is not None and bool(one.faults) for one in looked)
    warned = sum(
        one.image is not None and libjpeg_warning(file) is not None for one, file in zip(looked, files, strict=True)
    )
    return Outcome(kind, len(files), refused, warned, found, len(files) - refused - found)


def main(arguments: Sequence[str]) -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.damage", description=__doc__)
    parser.add_argument("folder", type=Path, help="photographs, in any depth")
    parser.add_argument("--files", type=int, default=86, help="how many of them")
    options = parser.parse_args(arguments)
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    large = [path.read_bytes() for path in paths if path.stat().st_size > MIN_BYTES][: options.files]
    print("| damage | files | refused by the decoder | warning of libjpeg | found by a check | not noticed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in outcomes(large):
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main(sys.argv[1:])
