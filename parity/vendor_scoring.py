"""Compare our scores with those of the vendors' own scripts: `python -m parity.vendor_scoring --help`.

Results are written here as `xception predict --vendor` writes them, for 5,000 images with drawn logits (or for the
images of a folder), and scored twice: by the script, in a process of its own, and by us. Ours are printed as the
script prints its numbers, and both have to be the same text.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xception.interchange import ascend, mindspore, vastai
from xception.labels import imagenet1k
from xception.metrics import top_k
from xception.tasks.evaluation import Evaluation
from xception.tasks.vendor_results import TrueClasses, Vendor, read_results, score_results, truth_of_file

VASTAI = "cv/classification/common/eval"
MINDSPORE = "official/cv/Inception/xception/postprocess.py"
ASCEND_SCORES = (
    "ACL_PyTorch/contrib/cv/classfication/xception/imagenet_acc_eval.py",
    "ACL_PyTorch/built-in/cv/Resnet50_Pytorch_Infer/vision_metric_ImageNet.py",
    "ACL_PyTorch/contrib/cv/classfication/SE-ResNeXt50_32x4d/vision_metric_ImageNet.py",
)
ASCEND_BINARY = "ACL_PyTorch/built-in/cv/Resnet50_Pytorch_Infer_poc/vision_metric_ImageNet.py"
ASCEND_CLASSES = (
    "PyTorch/contrib/cv/classification/Xception_ID1777_for_PyTorch/infer/utils/classification_task_metric.py"
)

LABELS = imagenet1k()
CRANES = tuple(index for index, name in enumerate(LABELS.names) if name == "crane")
"""A bird and a machine: eval_topk compares names, and takes one for the other."""


@dataclass(frozen=True)
class Row:
    """One script on one kind of file."""

    script: str
    files: str
    images: int
    theirs: str
    ours: str

    def __str__(self) -> str:
        verdict = "equal" if self.theirs == self.ours else "DIFFERENT"
        return f"| {self.script} | {self.files} | {self.images:,} | {self.theirs} | {self.ours} | {verdict} |"


def main() -> int:
    """Exit status 0 if all numbers are the same."""
    arguments = _arguments()
    truth = _truth(arguments.images)
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.vastai:
            rows += vastai_rows(arguments.vastai, folder, truth, logits(truth))
            notes += vastai_notes(arguments.vastai, folder, truth, logits(truth))
        if arguments.ascend:
            rows += ascend_rows(arguments.ascend, folder, truth, logits(truth))
        if arguments.mindspore:
            rows.append(mindspore_row(arguments.mindspore, folder, truth, logits(truth)))
    print("| script | files | images | its numbers | ours | |\n| --- | --- | ---: | --- | --- | --- |")
    print("\n".join(map(str, rows)))
    print("\nWhere names deceive eval_topk:")
    print("\n".join(map(str, notes)))
    return 0 if rows and all(row.theirs == row.ours for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m parity.vendor_scoring", description=__doc__)
    for option, what in (
        ("vastai", "Vastai/VastModelZOO"),
        ("ascend", "Ascend/ModelZoo-PyTorch"),
        ("mindspore", "mindspore-ai/models"),
    ):
        parser.add_argument(f"--{option}", type=Path, metavar="DIR", help=f"a checkout of {what}")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="an image folder, by WordNet ids, to take names from"
    )
    return parser.parse_args()


def _truth(images: Path | None) -> TrueClasses:
    if images:
        paths = sorted(path.absolute() for path in images.glob("*/*") if path.is_file())
        return TrueClasses("folders", {str(path): LABELS.ids.index(path.parent.name) for path in paths})
    names = {f"/data/{LABELS.ids[n % 1000]}/ILSVRC2012_val_{n + 1:08d}.JPEG": n % 1000 for n in range(5000)}
    return TrueClasses("drawn", names)


def logits(truth: TrueClasses) -> Iterator[tuple[str, np.ndarray]]:
    """Noise with a bonus for the true class, which makes a top-1 accuracy of about 60 %; half of the first crane's
    images look like the second."""
    rng = np.random.Generator(np.random.PCG64(0))
    for number, (path, target) in enumerate(truth.targets.items()):
        values = rng.normal(0, 1, len(LABELS)).astype(np.float32)
        taken_for = CRANES[1] if target == CRANES[0] and number % 2000 < 1000 else target
        values[taken_for] += 3.6
        yield path, values


def ours(
    vendor: Vendor,
    results: Path,
    truth: TrueClasses,
    datalist: Path | None = None,
    text: ascend.TextMeaning | None = None,
) -> Evaluation:
    return score_results(vendor, results, read_results(vendor, results, len(LABELS), datalist, text), truth, LABELS)


def vastai_rows(checkout: Path, folder: Path, truth: TrueClasses, rows: Iterator[tuple[str, np.ndarray]]) -> list[Row]:
    kept = [(path, values) for path, values in rows if not _crane(truth.targets[path], values)]
    plain = TrueClasses(truth.name, {path: truth.targets[path] for path, _ in kept})
    out = _made(folder / "vastai")
    vastai.write_vastai_results(out, kept, LABELS)
    decoded = folder / "decoded.txt"
    _run(checkout / VASTAI / "vamp_npz_decode.py", out / "datalist.txt", out / "output", decoded, out / "imagenet.txt")
    found = [
        _vastai_row(checkout, "result.txt", out / "result.txt", plain),
        _vastai_row(checkout, "decoded by vamp_npz_decode", decoded, plain),
    ]
    scored = ours("vastai", out / "output", plain, out / "datalist.txt")
    return [*found, Row("eval_topk.py", ".npz and datalist (ours)", scored.total, found[1].theirs, _percents(scored))]


def vastai_notes(checkout: Path, folder: Path, truth: TrueClasses, rows: Iterator[tuple[str, np.ndarray]]) -> list[Row]:
    """The two cases in which the scorer's numbers are not those of the class indices."""
    out, decoded = _made(folder / "all"), folder / "theirs.txt"
    vastai.write_vastai_results(out, rows, LABELS)
    names = checkout / VASTAI / "../label/imagenet.txt"
    _run(checkout / VASTAI / "vamp_npz_decode.py", out / "datalist.txt", out / "output", decoded, names)
    return [
        _vastai_row(checkout, "result.txt with both cranes", out / "result.txt", truth),
        _vastai_row(checkout, "the same with the zoo's imagenet.txt", decoded, truth),
    ]


def _crane(target: int, values: np.ndarray) -> bool:
    """Whether the scorer may take one crane for the other in this image."""
    return target in CRANES and bool(set(CRANES) & set(top_k(values[None], 5)[0].tolist()) - {target})


def _vastai_row(checkout: Path, files: str, result: Path, truth: TrueClasses) -> Row:
    printed = _run(checkout / VASTAI / "eval_topk.py", result)
    match = re.search(r"top1_rate: (\S+) top5_rate: (\S+)", printed)
    scored = ours("vastai", result, truth)
    return Row("eval_topk.py", files, scored.total, " / ".join(match.groups()) if match else "-", _percents(scored))


def _percents(scored: Evaluation) -> str:
    return " / ".join(str(np.around(scored.top_k[k].value * 100, 3)) for k in (0, 4))


def ascend_rows(checkout: Path, folder: Path, truth: TrueClasses, rows: Iterator[tuple[str, np.ndarray]]) -> list[Row]:
    out, wide = _made(folder / "ascend"), _made(folder / "ascend1001")
    values = list(rows)
    ascend.write_ascend_results(out, values)
    # As TensorFlow's networks answer: one more class in front, for the background.
    ascend.write_ascend_results(wide, ((path, np.concatenate([row[:1] - 1, row])) for path, row in values))
    labels = folder / ascend.ASCEND_LABEL_FILE
    ascend.write_ascend_label_file(labels, ((Path(path).name, index) for path, index in truth.targets.items()))
    jobs = [(script, place / ascend.SCORES) for place in (out, wide) for script in ASCEND_SCORES]
    jobs += [(ASCEND_BINARY, out / ascend.BINARY), (ASCEND_CLASSES, out / ascend.CLASSES)]
    jobs += [(ASCEND_BINARY, wide / ascend.BINARY), (ASCEND_CLASSES, wide / ascend.CLASSES)]
    return [_ascend_row(checkout / script, results, labels, folder) for script, results in jobs]


def _ascend_row(script: Path, results: Path, labels: Path, folder: Path) -> Row:
    theirs = _ascend_document(script, results, labels, folder)
    text: ascend.TextMeaning = "classes" if results.name == ascend.CLASSES else "scores"
    scored = ours("ascend", results, truth_of_file(labels, len(LABELS)), text=text)
    shares = tuple(interval.value for interval in scored.top_k)
    values = scored.vendor.values if scored.vendor else 0
    summary = ascend.summary_bytes(ascend.Summary(images=scored.seen, classes=values, accuracies=shares))
    name, kind = f"{script.parent.name}/{script.name}", f"{results.name}, {values} values"
    return Row(name, kind, scored.total, _short(theirs), _short(json.loads(summary)))


def _ascend_document(script: Path, results: Path, labels: Path, folder: Path) -> dict[str, object]:
    if script.name == "imagenet_acc_eval.py":
        options = ("folder_davinci_target", results, "annotation_file_path", labels, "result_json_path", folder)
        pairs = zip(options[::2], options[1::2], strict=True)
        _run(
            script, *(word for name, value in pairs for word in (f"--{name}", value)), "--json_file_name", "theirs.json"
        )
    elif ASCEND_BINARY.endswith(f"{script.parent.name}/{script.name}"):
        printed = _run(script, results, labels)
        return dict(ast.literal_eval(next(line for line in printed.splitlines() if line.startswith("{"))))
    else:
        _run(script, results, labels, folder, "theirs.json")
    return dict(json.loads((folder / "theirs.json").read_bytes()))


def _short(document: dict[str, object]) -> str:
    """All that a result.json says, in a line."""
    pairs = document["value"]
    return " ".join(pair["value"] for pair in pairs) if isinstance(pairs, Sequence) else "-"


def mindspore_row(checkout: Path, folder: Path, truth: TrueClasses, rows: Iterator[tuple[str, np.ndarray]]) -> Row:
    out, labels = _made(folder / "mindspore"), folder / "label.txt"
    mindspore.write_mindspore_results(out, rows)
    mindspore.write_mindspore_label_file(labels, truth.targets.items())
    results = out / mindspore.RESULTS
    printed = _run(checkout / MINDSPORE, "--result_path", results, "--label_file", labels)
    scored = ours("mindspore", out, truth_of_file(labels, len(LABELS)))
    hits = [round(interval.value * scored.seen) for interval in scored.top_k]
    text = f"Top_1_Acc={100.0 * hits[0] / scored.seen}%, Top_5_Acc={100.0 * hits[4] / scored.seen}%"
    return Row("xception/postprocess.py", "_0.bin", scored.total, printed.strip(), text)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run(script: Path, *arguments: object) -> str:
    # The scripts were written for NumPy below 1.24, in which np.int was Python's int.
    start = (
        "import runpy, sys, numpy; numpy.int = int; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-W", "ignore", "-c", start, str(script), *map(str, arguments)]
    environment = {"PYTHONPATH": str(script.parent), "PATH": ""}
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    return run(command, check=True, capture_output=True, text=True, env=environment).stdout


if __name__ == "__main__":
    sys.exit(main())
