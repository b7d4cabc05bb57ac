"""Writes what the checks predict: python -m tests.cluster.make_data FOLDER, in the environment of the package."""

import sys
from pathlib import Path

from tests.cluster.sizes import IMAGES, TARS
from tests.data.forms import tar_bytes
from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from tests.support.samples import encoded
from xception.data.digits import digits


def main() -> None:
    """A reader of digits, and images of digits in tar shards, of which one is broken."""
    folder = Path(sys.argv[1])
    spec = reader_spec()
    digits_bundle(folder / "reader", spec, reader_tensors(spec))
    items = list(digits("train"))[:IMAGES]
    files = [encoded(item.load(), "PNG") for item in items]
    files[IMAGES // 2] = files[IMAGES // 2][:40]
    (folder / "images").mkdir()
    for shard in range(TARS):
        members = {}
        for index in range(shard, IMAGES, TARS):
            members |= {f"{index:06d}.png": files[index], f"{index:06d}.cls": str(items[index].target).encode()}
        (folder / "images" / f"digits-{shard}.tar").write_bytes(tar_bytes(members))


if __name__ == "__main__":
    main()
