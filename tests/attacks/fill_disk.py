"""Predict into shards on a real disk that is full at some moment, make room, and predict again.

    unshare --map-root-user --mount python -m tests.attacks.fill_disk

The disk is a tmpfs with room for nothing, for all but the manifest, and for parts between. Each run has to end with one
sentence and the exit code 3, and to leave no object in part; with room, the same command has to end with the bytes of a
run on a free disk. Prints one line per size; exit status 1 at the first that differs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from tests.support.samples import write_folder

PAGE = 4096
"""Bytes that an object of this size or less takes on the disk."""

STEPS = 3
"""Sizes that are tried between those at which the plan and the manifest do not fit."""


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = digits_bundle(folder / "reader", reader_spec(), reader_tensors(reader_spec())).path
        write_folder(folder / "photos")
        words = [str(bundle), str(folder / "photos"), "--table", "jsonl.gz", "--images-per-shard", "4"]
        if predict(words, folder / "free").returncode:
            return 1
        expected = content(folder / "free")
        pages = sum(-(-len(held) // PAGE) for held in expected.values())
        (folder / "disk").mkdir()
        sizes = sorted({0, *range(1, pages, pages // STEPS), pages - 1})
        return 0 if all(outlived(size, words, folder / "disk", expected) for size in sizes) else 1


def predict(words: list[str], out: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "xception", "predict", *words, "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def outlived(pages: int, words: list[str], disk: Path, expected: dict[str, bytes]) -> bool:
    """Tell whether a run on a disk with room for so many pages ends as it has to."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={(pages + 1) * PAGE}", "tmpfs", str(disk)], check=True)
    try:
        # A tmpfs without a page is not to be had.
        (disk / "other").write_bytes(bytes(PAGE))
        full = predict(words, disk / "out")
        left = content(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = predict(words, disk / "out")
        is_whole = all(expected.get(name) == held for name, held in left.items())
        is_same = content(disk / "out") == expected
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    said = [line for line in full.stderr.splitlines() if "No space left on device" in line]
    sys.stdout.write(f"{pages} pages: exit {full.returncode}, {len(left)} objects, {said}; again {again.returncode}\n")
    return (full.returncode, len(said), again.returncode, is_whole, is_same) == (3, 1, 0, True, True)


if __name__ == "__main__":
    sys.exit(main())
