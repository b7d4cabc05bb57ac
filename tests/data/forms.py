"""The same twelve images in every form of data."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.io import savemat

from tests.support.samples import encoded, picture

CLASSES = ("n01440764", "n01443537", "n01484850")
IMAGES = [(index % 3, encoded(picture(seed=index))) for index in range(12)]
CONTENT = {(CLASSES[target], data) for target, data in IMAGES}
NAMES = [f"ILSVRC2012_val_{index + 1:08d}" for index in range(12)]
LABELS = "".join(f"{name}\n" for name in CLASSES).encode()


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def zip_bytes(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def parquet_bytes(rows: Mapping[str, Sequence[object]], features: object = None, group: int = 2) -> bytes:
    table = pa.table(dict(rows))
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=group)
    return file.getvalue()


def synsets(rows: list[tuple[int, str, int]]) -> bytes:
    """`meta.mat` with the ILSVRC id, the WordNet id and the number of children of each synset."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    file = io.BytesIO()
    savemat(file, {"synsets": np.array([[row] for row in rows], fields)})
    return file.getvalue()


# In the kit, ids follow another order than the WordNet ids, and parents of classes come after these.
SYNSETS = synsets([(1, CLASSES[2], 0), (2, CLASSES[0], 0), (3, CLASSES[1], 0), (4, "n00001740", 3)])
GROUND_TRUTH = "".join(f"{(2, 3, 1)[target]}\n" for target, _ in IMAGES).encode()
HUB_FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(CLASSES)}}


def _flat() -> dict[str, bytes]:
    return {f"{name}.JPEG": data for name, (_, data) in zip(NAMES, IMAGES, strict=True)}


def _folder() -> dict[str, bytes]:
    return {f"{CLASSES[target]}/im age {index}.png": data for index, (target, data) in enumerate(IMAGES)}


def _shard(first: int) -> bytes:
    rows = [(f"{index:05d}", *IMAGES[index]) for index in range(first, first + 4)]
    return tar_bytes(
        {f"{key}.{suffix}": data for key, target, image in rows for suffix, data in _sample(target, image).items()}
    )


def _sample(target: int, image: bytes) -> dict[str, bytes]:
    return {"png": image, "cls": str(target).encode(), "json": b"{}"}


def _rows(indices: range) -> bytes:
    images = [{"bytes": IMAGES[index][1], "path": f"{index}.png"} for index in indices]
    return parquet_bytes({"image": images, "label": [IMAGES[index][0] for index in indices]}, HUB_FEATURES)


def _listing(names: Mapping[str, bytes]) -> bytes:
    targets = {data: target for target, data in IMAGES}
    return "".join(f"{name} {targets[data]}\n" for name, data in names.items()).encode()


def all_files() -> dict[str, bytes]:
    """Every file of `FORMS`, by path."""
    files = {f"folder/{name}": data for name, data in _folder().items()}
    files["folder.zip"] = zip_bytes({f"folder/{name}": data for name, data in _folder().items()})
    files |= {f"shards/s-{number:03d}.tar": _shard(4 * number) for number in range(3)}
    files["shards/labels.txt"] = LABELS
    files |= {f"hub/data/train-{number:05d}-of-00003.parquet": _rows(range(number, 12, 3)) for number in range(3)}
    files |= {f"listed/{name}": data for name, data in _folder().items()}
    files |= {"listed/all.txt": _listing(_folder()), "listed/labels.txt": LABELS}
    files |= {f"flat/val/{name}": data for name, data in _flat().items()}
    files["flat/val_label.txt"] = _listing(_flat())
    files |= {f"kit/images/{name}": data for name, data in _flat().items()}
    kit = {"ILSVRC2012_validation_ground_truth.txt": GROUND_TRUTH, "meta.mat": SYNSETS}
    files |= {f"kit/ILSVRC2012_devkit_t12/data/{name}": data for name, data in kit.items()}
    return files


FORMS = {
    "image folder": "folder",
    "zip archive": "folder.zip",
    "tar shards": "shards/s-{000..002}.tar",
    "folder of shards": "shards",
    "parquet files": "hub/data/train-{00000..00002}-of-00003.parquet",
    "folder of parquet files": "hub",
    "list file": "listed/all.txt",
    "flat folder with a label file": "flat/val",
    "flat folder with a list file above": "flat/val_label.txt",
    "flat folder with the kit": "kit/images",
}


def write_all(root: Path) -> Path:
    for name, data in all_files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root
