"""Counts of the files in a data set that are not among its images, and of the images that occur twice."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

import msgspec

from xception.data.files import is_image

LOG = logging.getLogger(__name__)
"""Log that `announce` writes to; the command line shows its lines as they are."""

JUNK_NAMES = re.compile(
    r"(?:.*/)?(?:__MACOSX/.*|e?h?thumbs\.db|desktop\.ini|\.DS_Store|\.directory|\._[^/]*|~\$[^/]*|[^/]*~"
    r"|[^/]*\.(?:tmp|part|partial|crdownload|download))",
    re.IGNORECASE,
)
"""Names of files that Windows, macOS, desktops, editors and broken downloads leave behind."""

JUNK, NO_SUFFIX, OUTSIDE = "system files", "no ending", "images outside the class folders"
"""Kinds of files that are left out, in addition to the endings of their names."""

MAX_NAMED_KINDS = 5


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """A count of what a data set's place holds that its images do not tell."""

    left_out: dict[str, int] = {}
    """Number of files that are not among the images, by kind: an ending such as `.txt`, or one of the words above."""
    repeated: int = 0
    """Images that are there for a second time, as lines of a list or as samples of a copied shard."""

    def sentences(self) -> list[str]:
        """All of it in words for the screen; empty where there is nothing to say."""
        total = sum(self.left_out.values())
        kinds = sorted(self.left_out.items(), key=lambda row: (-row[1], row[0]))
        named = [f"{kind} {count:,}" for kind, count in kinds[:MAX_NAMED_KINDS]]
        more = [f"{len(kinds) - MAX_NAMED_KINDS} more kinds"] if len(kinds) > MAX_NAMED_KINDS else []
        said = [f"{total:,} {_files(total)} left out: {', '.join([*named, *more])}"] if total else []
        if self.repeated:
            said.append(f"{self.repeated:,} {_images(self.repeated)} there more than once, and counted each time")
        return said


EMPTY = Inventory()


def inventory_of(source: object) -> Inventory:
    """The inventory of a source, or an empty one where the source has none."""
    found = getattr(source, "inventory", EMPTY)
    return found if isinstance(found, Inventory) else EMPTY


def announce(name: str, inventory: Inventory) -> None:
    """Say on the log what is left out of a data set, or in it twice."""
    for sentence in inventory.sentences():
        LOG.warning("%s: %s", name, sentence)


def left_out(names: Iterable[str]) -> Counter[str]:
    """Number of files by kind, of those that are none of a data set's images."""
    return Counter(map(_kind, names))


def _kind(name: str) -> str:
    if is_image(name):
        return OUTSIDE
    if JUNK_NAMES.fullmatch(name):
        return JUNK
    return PurePosixPath(name).suffix.lower() or NO_SUFFIX


def _files(count: int) -> str:
    return "file is" if count == 1 else "files are"


def _images(count: int) -> str:
    return "image is" if count == 1 else "images are"
