"""The rules of the vendors' own scorers, written from their description and apart from ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def ascend_scores(folder: Path, label_file: Path) -> list[str]:
    """`imagenet_acc_eval.py`: one line of scores for each image, sorted from the largest; cumulative percentages of the
    files that are there, with two decimals. With one value more than classes, the true class is one higher."""
    classes = {line.split()[0].split(".")[0]: int(line.split()[1]) for line in label_file.read_text().splitlines()}
    files = sorted(folder.glob("*_1.txt"))
    counts = np.zeros(5)
    for file in files:
        scores = [float(word) for word in file.read_text().split()]
        best = sorted(range(len(scores)), key=lambda index: scores[index], reverse=True)[:5]
        own = classes[file.name.rpartition("_")[0]]
        if own in best:
            counts[best.index(own) :] += 1
    return [f"{100 * count / len(files):.2f}%" for count in counts]


def mindspore_raw(folder: Path, classes: Mapping[str, int]) -> list[float]:
    """`postprocess.py`: raw float32 of each image; top-1 and top-5 as fractions of the files that are there."""
    hits = [0, 0]
    files = sorted(folder.glob("*_0.bin"))
    for file in files:
        order = np.argsort(np.fromfile(file, np.float32))[::-1]
        own = classes[file.name.removesuffix("_0.bin")]
        hits[0] += int(order[0]) == own
        hits[1] += own in order[:5].tolist()
    return [hit / len(files) for hit in hits]


def vastai_lines(result: Path, names: Mapping[str, str], top: Sequence[int] = (1, 5)) -> list[float]:
    """`eval_topk.py`: five lines for each image; the folder's name tells the class, and the fifth field behind colons
    the predicted one; percentages of the images that are there."""
    lines = result.read_text().splitlines()
    groups = [lines[start : start + 5] for start in range(0, len(lines), 5)]
    hits = dict.fromkeys(top, 0)
    for group in groups:
        own = names[group[0].split(":")[0].split("/")[-2]]
        predicted = [line.split(":")[4].strip() for line in group]
        for k in top:
            hits[k] += own in predicted[:k]
    return [100 * hits[k] / len(groups) for k in top]
