"""Image folders: one folder a class, or any files and folders without labels."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from xception.data.source import Item, Items
from xception.errors import InputError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"}
)
"""What counts as an image in a folder; anything else is left alone."""

SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test", "validation", "val")}
"""Under which names a data set's folder may hold each split, best first."""

HOLD_OUT = 0.1
"""Share of a folder without splits that training keeps for validation."""


def image_folder(root: Path, split: str | None) -> Items:
    """One folder a class, sorted by name; images in all depths below it, sorted by path.

    With a split, `root/train`, `root/validation` (or `val`) and `root/test` are used where they exist.
    Otherwise train and validation are parts of the one folder, drawn by a hash of each file's path.

    Raises:
        InputError: no folder, no classes, or no images.
    """
    folder = _split_folder(root, split)
    classes = tuple(
        sorted(entry.name for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith("."))
    )
    if not classes:
        raise InputError(f"{folder} holds no class folders; expected one folder a class with images in it")
    files = [(path, target) for target, name in enumerate(classes) for path in _images(folder / name)]
    if not files:
        raise InputError(
            f"{folder} holds no images in its {len(classes)} class folders; known: {', '.join(sorted(SUFFIXES))}"
        )
    items = tuple(Item(path.relative_to(folder).as_posix(), target, path.read_bytes) for path, target in files)
    if folder == root:
        items = kept(items, split)
    return Items(f"{root.name}:{split}" if split else root.name, classes, items)


def image_files(paths: Sequence[Path]) -> Items:
    """Files, and all images below folders, without labels; an item's key is its path as given.

    Raises:
        InputError: a path that does not exist, or no images at all.
    """
    files = [file for path in paths for file in _expand(path)]
    if not files:
        raise InputError(f"no images in {', '.join(map(str, paths))}; known: {', '.join(sorted(SUFFIXES))}")
    return Items("files", (), tuple(Item(str(path), None, path.read_bytes) for path in files))


def _expand(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return _images(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; expected an image or a folder of images")
    return (path,)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _split_folder(root: Path, split: str | None) -> Path:
    names = SPLIT_FOLDERS.get(split or "", ())
    return next((root / name for name in names if (root / name).is_dir()), root)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}; expected one folder a class") from error


def kept(items: Iterable[Item], split: str | None) -> tuple[Item, ...]:
    """The part of undivided data that a split sees: train and validation share it out, all others see all of it.

    Which part an item falls into depends on its key alone: neither on other items nor on where the data lie.
    """
    if split not in ("train", "validation"):
        return tuple(items)
    return tuple(item for item in items if _held_out(item.key) == (split == "validation"))


def _held_out(key: str) -> bool:
    return int.from_bytes(sha256(key.encode()).digest()[:8], "big") < HOLD_OUT * 2**64
