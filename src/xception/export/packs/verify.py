"""Check this pack, and what the chip returned for its inputs. Needs Python 3.7 and NumPy, nothing else.

    python verify.py              whether every file is the one that was packed
    python verify.py RESULTS      and how the results agree with the source's logits, and with the true classes

RESULTS is the folder that the tool wrote, or a result.txt. Exit status 0: all is well; 1: it is not, in a sentence.
"""

from __future__ import annotations

import sys

# Python looks for modules next to a script first, where a file of the pack could stand in for one of them.
if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]

import argparse
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

FORMAT_VERSION = 1
MANIFEST = "pack.json"
TOP = 5
WORK = ("om", "amct", "amct_log", "deploy_weights", "results", "result", "kernel_meta", "fusion_result.json")
"""The entries of the folder that compilers and runs make by the README's commands."""
MAX_ERROR = 0.25
"""Root mean square of the scores' differences over the deviation of the goldens; int8 that keeps its accuracy stays
below half of it."""
SWAPPED, UNUSUAL = 4.0, 9.0
"""Squared distance from the own golden over that from the nearest one, and over the usual one, from which on a result
is that of another input."""
LINE = re.compile(r"(.+): Relay top-(\d+) id: (\d+), prob: \S+, class name: .*")


class Fault(Exception):
    """A fault of the pack or the results, in a sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Run the checks; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="?", type=Path, help="what the chip's tool wrote")
    parser.add_argument(
        "--least-agreement",
        type=float,
        metavar="SHARE",
        help="inputs that must have the source's class; default: the pack's",
    )
    options = parser.parse_args(arguments)
    # Not resolved: a link in place of this script would have another pack verified.
    folder = Path(__file__).absolute().parent
    try:
        manifest = check_pack(folder)
        sys.stdout.write(
            "the pack is whole: {} files of {}\n".format(len(manifest["files"]), manifest["model"]["name"])
        )
        if options.results is not None:
            least = options.least_agreement
            check_results(folder, manifest, options.results, manifest["least_agreement"] if least is None else least)
    except Fault as fault:
        sys.stderr.write(f"FAILED: {fault}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"FAILED: {error.filename} cannot be read: {error.strerror}\n")
        return 1
    return 0


def check_pack(folder: Path) -> dict[str, Any]:
    """The manifest, after every file was compared with it, and nothing else was found."""
    manifest = read_manifest(folder / MANIFEST)
    for name, entry in manifest["files"].items():
        check_file(folder / name, name, entry)
    check_structure(folder, set(manifest["files"]))
    golden_logits(folder, manifest)
    return manifest


def check_structure(folder: Path, files: set[str]) -> None:
    """Refuse links, and files and folders that are not of the pack, but for what compilers and runs make in it."""
    known = {MANIFEST, *files} | {parent.as_posix() for name in files for parent in Path(name).parents}
    strays = []
    for place, folders, names in os.walk(str(folder)):
        inside = Path(place).relative_to(folder)
        made = WORK if place == str(folder) else ()
        folders[:] = sorted(name for name in folders if name not in made)
        found = [inside / name for name in [*folders, *names] if name not in made]
        links = [path.as_posix() for path in found if (folder / path).is_symlink()]
        if links:
            raise Fault(f"{min(links)} is a link, and a pack has none; get the pack again")
        strays += [path.as_posix() for path in found if path.as_posix() not in known]
    if strays:
        raise Fault(
            f"{len(strays)} files or folders, such as {min(strays)}, are not of the pack; put results elsewhere"
        )


def read_manifest(file: Path) -> dict[str, Any]:
    """The manifest, after its own digest was checked."""
    if not file.is_file():
        raise Fault(f"{file.name} is missing; get the pack again")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version, digest = manifest["format_version"], manifest["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(f"{file.name} is no description of a pack ({error}); get the pack again") from error
    if version != FORMAT_VERSION:
        raise Fault(f"{file.name} has format version {version}, this script reads {FORMAT_VERSION}; get the pack again")
    if digest_of(manifest) != digest:
        raise Fault(f"{file.name} was changed after the pack was written; get the pack again")
    return dict(manifest)


def digest_of(manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest with an empty digest."""
    text = json.dumps({**manifest, "digest": ""}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_file(file: Path, name: str, entry: dict[str, Any]) -> None:
    """Compare one file with its size and hash."""
    if not file.is_file():
        raise Fault(f"{name} is missing; get the pack again")
    size = file.stat().st_size
    if size != entry["size_bytes"]:
        raise Fault("{} has {:,} bytes instead of {:,}; get the pack again".format(name, size, entry["size_bytes"]))
    if sha256_of(file) != entry["sha256"]:
        raise Fault(f"{name} was changed after it was packed; get the pack again")


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, read in pieces."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            found.update(piece)
    return found.hexdigest()


def golden_logits(folder: Path, manifest: dict[str, Any]) -> np.ndarray:
    """The source's logits, (N, K), in the order of the inputs' names."""
    logits: np.ndarray = np.load(str(folder / "goldens" / "logits.npy"), allow_pickle=False)
    expected = (len(manifest["inputs"]["names"]), manifest["model"]["num_classes"])
    if logits.shape != expected or not np.isfinite(logits).all():
        raise Fault(f"goldens/logits.npy has the shape {logits.shape} or no numbers; expected {expected}")
    return logits


def check_results(folder: Path, manifest: dict[str, Any], results: Path, least: float) -> None:
    """Compare what the chip returned with the goldens and with the true classes."""
    logits = golden_logits(folder, manifest)
    names, targets = manifest["inputs"]["names"], manifest["inputs"]["targets"]
    answers = read_answers(manifest, results)
    missing = [name for name in names if name not in answers]
    if missing:
        raise Fault(f"{len(missing)} of {len(names)} inputs, such as {missing[0]}, have no result in {results}")
    unasked = sorted(set(answers) - set(names))
    if unasked:
        raise Fault(f"{results} holds {len(unasked)} results, such as {unasked[0]}, of no input; remove them")
    rows = [answers[name] for name in names]
    ranked = [np.argsort(-row, kind="stable")[:TOP] if row.dtype.kind == "f" else row for row in rows]
    golden = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
    agreement = float(np.mean([int(row[0]) == int(best[0]) for row, best in zip(ranked, golden)]))  # noqa: B905
    own = compare_scores(names, rows, logits)
    if None not in targets:
        report_accuracy("of the chip", ranked, targets)
        report_accuracy("of the source", list(golden), targets)
    for data, score in manifest["expected"].items():
        sys.stdout.write(f"expected on {data}: {json.dumps(score)}\n")
    sys.stdout.write(f"top-1 agreement with the source: {agreement:.2%} of {len(names)} inputs\n")
    if not min(agreement, own) >= least:
        raise Fault(
            f"the chip agrees with the source on {agreement:.2%} of the inputs, and the scores of {own:.2%} are "
            f"nearest to their own goldens; expected {least:.2%} at least of both: check that inputs, their order "
            "and the preprocessing are those of this pack"
        )


def compare_scores(names: list[str], rows: list[np.ndarray], logits: np.ndarray) -> float:
    """Print how far scores are from the goldens; returns the share of inputs whose scores are nearest to their own.

    That share tells results in a wrong order even where a network gives most images one class. It is 1 where the
    tool named only classes.
    """
    if any(row.dtype.kind != "f" for row in rows):
        return 1.0
    scores, expected, kind = np.stack(rows).astype(np.float64), logits.astype(np.float64), "logits"
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-2):
        shifted = np.exp(expected - expected.max(axis=1, keepdims=True))
        expected, kind = shifted / shifted.sum(axis=1, keepdims=True), "probabilities"
    worst = np.abs(scores - expected).max()
    sys.stdout.write(f"largest difference of {kind}: {worst:.3g} ({worst / np.abs(expected).max():.3g} relative)\n")
    distances = np.array([np.square(expected - row).sum(axis=1) for row in scores])
    check_order(names, distances)
    error = float(np.sqrt(np.square(scores - expected).mean()) / max(float(expected.std()), 1e-30))
    if not error <= MAX_ERROR:
        raise Fault(
            f"the {kind} are off by {error:.3g} of the goldens' deviation, more than {MAX_ERROR}: check that inputs, "
            "their order and the preprocessing are those of this pack, and how the file was quantized"
        )
    # Inputs of the same goldens cannot be told apart, and need not be.
    return float(np.mean(np.diag(distances) <= distances.min(axis=1) * (1 + 1e-9)))


def check_order(names: list[str], distances: np.ndarray) -> None:
    """Refuse results that are clearly those of other inputs; distances are squared, (result, golden)."""
    own, nearest = np.diag(distances), distances.min(axis=1)
    swapped = np.flatnonzero((own > SWAPPED * nearest) & (own > UNUSUAL * np.median(own)))
    if len(swapped):
        first = int(swapped[0])
        other = names[int(distances[first].argmin())]
        raise Fault(
            f"{len(swapped)} results are those of other inputs, such as that of {names[first]}, which is the one of "
            f"{other}; check that the order of the inputs was kept"
        )


def report_accuracy(whose: str, ranked: list[np.ndarray], targets: list[int]) -> None:
    """Top-1 and top-5 against the true classes."""
    for k in (1, TOP):
        if all(len(row) >= k for row in ranked):
            hits = sum(target in row[:k].tolist() for row, target in zip(ranked, targets))  # noqa: B905
            sys.stdout.write(f"top-{k} {whose}: {hits} of {len(targets)} ({hits / len(targets):.2%})\n")


def read_answers(manifest: dict[str, Any], results: Path) -> dict[str, np.ndarray]:
    """Results by input: scores (K,) as floats, or classes from the best on as integers."""
    classes = manifest["model"]["num_classes"]
    if manifest["vendor"] == "ascend":
        return ascend_answers(results, classes)
    if results.is_file() or (results / "result.txt").is_file():
        return vastai_text(results if results.is_file() else results / "result.txt", classes)
    return vastai_outputs(results, manifest["inputs"]["names"], classes)


def ascend_answers(results: Path, classes: int) -> dict[str, np.ndarray]:
    """Results from `NAME_N.bin` (raw float32) and `NAME_N.txt` (scores, or classes best first)."""
    answers: dict[str, np.ndarray] = {}
    for file in sorted(results.iterdir()):
        name = file.name.split(".")[0].rpartition("_")[0]
        if file.suffix not in (".bin", ".txt") or not name:
            continue
        if name in answers:
            raise Fault(f"{results} holds two results for {name}; remove the stale one")
        answers[name] = raw_scores(file, classes) if file.suffix == ".bin" else text_scores(file, classes)
    return answers


def raw_scores(file: Path, classes: int) -> np.ndarray:
    """Scores of one image; with one more value than classes, the first is the background's and is dropped."""
    size = file.stat().st_size
    if size not in (4 * classes, 4 * classes + 4):
        raise Fault(f"{file.name} has {size:,} bytes; expected {4 * classes:,}, the scores of one image")
    return finite(np.fromfile(str(file), "<f4")[-classes:], file)


def text_scores(file: Path, classes: int) -> np.ndarray:
    """Scores of one image, or whole numbers of which no two are alike: classes, best first."""
    words = file.read_text(encoding="utf-8").split()
    try:
        if words and all(word.isdigit() for word in words) and len(set(words)) == len(words):
            ranked = np.array([int(word) for word in words])
            ranked = ranked[ranked > 0] - 1 if len(words) == classes + 1 else ranked
            if ranked.max() < classes:
                return ranked
        values = np.array([float(word) for word in words], np.float32)
    except ValueError as error:
        raise Fault(f"{file.name} holds what is no number: {error}") from error
    if len(values) not in (classes, classes + 1):
        raise Fault(f"{file.name} holds {len(values)} values; expected {classes}, the scores of one image")
    return finite(values[-classes:], file)


def vastai_text(file: Path, classes: int) -> dict[str, np.ndarray]:
    """Classes from a `result.txt`, five lines per image."""
    answers: dict[str, list[int]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        match = LINE.match(line)
        if match is None:
            raise Fault(f"line {number} of {file.name} is {line[:60]!r}; expected PATH: Relay top-K id: ...")
        ranked = answers.setdefault(Path(match.group(1)).stem, [])
        if int(match.group(2)) != len(ranked) or int(match.group(3)) >= classes:
            raise Fault(f"line {number} of {file.name} is out of turn, or of no class: {line[:60]!r}")
        ranked.append(int(match.group(3)))
    short = [name for name, ranked in answers.items() if len(ranked) != TOP]
    if short:
        raise Fault(f"{file.name} has {len(answers[short[0]])} lines for {short[0]}; expected {TOP}")
    return {name: np.array(ranked) for name, ranked in answers.items()}


def vastai_outputs(results: Path, names: list[str], classes: int) -> dict[str, np.ndarray]:
    """Scores from `.npz` outputs, which follow the datalist in the order of their names."""
    files = sorted(path for path in results.iterdir() if path.suffix == ".npz")
    if len(files) != len(names):
        raise Fault(f"{results} holds {len(files)} outputs; expected {len(names)}, one per input in their order")
    return {name: output(file, classes) for name, file in zip(names, files)}  # noqa: B905


def output(file: Path, classes: int) -> np.ndarray:
    """The scores in array `output_0`."""
    try:
        with file.open("rb") as stream:
            values = np.load(stream, allow_pickle=False)["output_0"].astype(np.float32).reshape(-1)
    except Exception as error:
        raise Fault(f"{file.name} holds no readable array 'output_0': {error}") from error
    if len(values) != classes:
        raise Fault(f"{file.name} holds {len(values)} values; expected {classes}, the scores of one image")
    return finite(values, file)


def finite(values: np.ndarray, file: Path) -> np.ndarray:
    """The values, which are refused if they are no finite numbers."""
    if not np.isfinite(values).all():
        raise Fault(f"{file.name} holds values that are no finite numbers; the compiled model is broken")
    return values


if __name__ == "__main__":
    sys.exit(main())
