from pathlib import Path

import numpy as np
import pytest

from tests.support.samples import CLASSES, encoded, labelled, picture, write_folder
from xception.bundle import Bundle
from xception.data.folder import image_files
from xception.data.sources import open_source
from xception.errors import CheckFailed, InputError
from xception.interchange import ascend, mindspore, vastai
from xception.interchange.vendor_answers import VendorAnswer
from xception.labels import Labels, imagenet1k
from xception.metrics import log_softmax, softmax
from xception.pipeline.engine import Engine
from xception.tasks.evaluate import evaluate
from xception.tasks.evaluation import Evaluation, VendorFacts
from xception.tasks.vendor_results import (
    TrueClasses,
    Vendor,
    read_results,
    score_results,
    truth_of_file,
    truth_of_folders,
    truth_of_source,
    write_results,
)

VENDORS: tuple[Vendor, ...] = ("ascend", "mindspore", "vastai")


def truth(count: int) -> TrueClasses:
    return TrueClasses("drawn", {f"/d/{n}/image_{n}.JPEG": n % 6 for n in range(count)})


def rows(count: int, right: int) -> list[tuple[str, np.ndarray]]:
    """Scores of six classes of which the first `right` images' are right and the others' true class is third."""
    own = [1.0 if n < right else -2.5 for n in range(count)]
    ramp = -np.arange(6, dtype=np.float32)
    return [
        (path, np.insert(np.delete(ramp, 0), target, own[n]).astype(np.float32))
        for n, (path, target) in enumerate(truth(count).targets.items())
    ]


LABELS = Labels(tuple("abcdef"))


def score(vendor: Vendor, folder: Path, expected: TrueClasses) -> Evaluation:
    return score_results(vendor, folder, read_results(vendor, folder, 6), expected, LABELS)


def facts(result: Evaluation) -> VendorFacts:
    assert result.vendor
    return result.vendor


def write(vendor: Vendor, folder: Path, content: list[tuple[str, np.ndarray]]) -> Path:
    if vendor == "vastai":
        vastai.write_vastai_results(folder, content, LABELS)
    else:
        write = ascend.write_ascend_results if vendor == "ascend" else mindspore.write_mindspore_results
        write(folder, content)
    return folder


@pytest.mark.parametrize("vendor", VENDORS)
def test_hits_are_counted_up_to_the_fifth_place(vendor: Vendor, tmp_path: Path) -> None:
    result = score(vendor, write(vendor, tmp_path, rows(10, 6)), truth(10))
    assert (result.total, result.seen, result.failed) == (10, 10, 0)
    assert [interval.value for interval in result.top_k] == [0.6, 0.6, 1.0, 1.0, 1.0]
    assert result.top1 == result.top_k[0]
    assert result.top5 == result.top_k[4]
    assert facts(result).top1_of_all == (0.6, 0.6)
    assert (result.failures, facts(result).extra) == ((), ())


@pytest.mark.parametrize("vendor", VENDORS)
def test_images_without_a_result_fail_and_results_without_an_image_are_named(vendor: Vendor, tmp_path: Path) -> None:
    expected = TrueClasses(
        "drawn", {path: target for path, target in truth(12).targets.items() if "image_3" not in path}
    )
    result = score(vendor, write(vendor, tmp_path, rows(10, 5)), expected)
    assert (result.total, result.seen, result.failed) == (11, 9, 2)
    assert result.top_k[0].value == 4 / 9
    assert [Path(failure.path).stem for failure in result.failures] == ["image_10", "image_11"]
    assert result.failures[0].reason == "has no result"
    assert [Path(name).stem for name in facts(result).extra] == ["image_3"]
    assert facts(result).top1_of_all == (4 / 11, 6 / 11)


def test_a_truncated_result_fails_and_is_named(tmp_path: Path) -> None:
    write("mindspore", tmp_path, rows(4, 4))
    (tmp_path / "result_Files" / "image_2_0.bin").write_bytes(bytes(7))
    result = score("mindspore", tmp_path, truth(4))
    assert (result.total, result.seen, result.failed) == (4, 3, 1)
    assert "image_2_0.bin has 7 bytes; expected 24" in result.failures[0].reason


def test_the_dropped_last_batch_of_50000_images_is_told(tmp_path: Path) -> None:
    """49,920 of 50,000 with 39,865 right, as the MindSpore zoo's evaluation on Ascend had it."""
    expected = TrueClasses("val", {f"val_{n}": 0 for n in range(50_000)})
    answers = (VendorAnswer(f"val_{n}", classes=(0,) if n < 39_865 else (1,)) for n in range(49_920))
    result = score_results("mindspore", tmp_path, answers, expected, LABELS)
    assert (result.total, result.seen, result.failed) == (50_000, 49_920, 80)
    assert result.top1 is not None
    assert round(result.top1.value, 4) == 0.7986
    assert facts(result).top1_of_all == (0.7973, 0.7989)
    assert (result.top5, len(result.top_k)) == (None, 1)


@pytest.mark.parametrize("vendor", ["ascend", "vastai"])
def test_two_results_for_an_image_are_refused(vendor: Vendor, tmp_path: Path) -> None:
    write(vendor, tmp_path, rows(3, 3))
    if vendor == "ascend":
        (tmp_path / "scores" / "image_1_0.txt").write_bytes((tmp_path / "scores" / "image_1_1.txt").read_bytes())
    else:
        text = (tmp_path / "result.txt").read_text()
        (tmp_path / "result.txt").write_text(text + text)
    with pytest.raises(InputError, match="two results for the image"):
        score(vendor, tmp_path, truth(3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_numbers_give_no_accuracy(value: float, tmp_path: Path) -> None:
    content = rows(3, 3)
    content[1][1][0] = value
    with pytest.raises(CheckFailed, match="image_1"):
        score("ascend", write("ascend", tmp_path, content), truth(3))


def test_results_of_other_images_altogether_are_refused(tmp_path: Path) -> None:
    write("ascend", tmp_path, rows(3, 3))
    with pytest.raises(InputError, match="none of the 3 results"):
        score("ascend", tmp_path, TrueClasses("drawn", {"/d/0/other.JPEG": 0}))


def test_only_vastai_tells_files_of_one_name_apart_by_their_folder(tmp_path: Path) -> None:
    names = TrueClasses("drawn", {"/d/n0/0.png": 0, "/d/n1/0.png": 1})
    content = list(zip(names.targets, (scores for _, scores in rows(2, 2)), strict=True))
    assert score("vastai", write("vastai", tmp_path, content), names).top_k[0].value == 1.0
    with pytest.raises(InputError, match="both known as '0'"):
        score("ascend", tmp_path, names)


def test_the_truth_of_a_data_set_is_in_the_models_order() -> None:
    labels = Labels(CLASSES[::-1])
    found = truth_of_source(labelled(4), labels)
    assert list(found.targets.values()) == [6, 5, 4, 3]
    with pytest.raises(InputError, match="not among the model's"):
        truth_of_source(labelled(4), Labels(("x", "y")))


def test_the_truth_of_a_file_fits_the_model(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a.JPEG 5\n")
    assert truth_of_file(tmp_path / "l.txt", 6).targets == {"a.JPEG": 5}
    with pytest.raises(InputError, match="class index 5; expected 0 to 4"):
        truth_of_file(tmp_path / "l.txt", 5)


def test_the_truth_of_folders_is_their_name() -> None:
    assert truth_of_folders(["/d/n01443537/x.npz"], imagenet1k()).targets == {"/d/n01443537/x.npz": 1}
    with pytest.raises(InputError, match="'other'"):
        truth_of_folders(["/d/other/x.npz"], imagenet1k())


def folder_of_pictures(root: Path) -> Path:
    """An image folder whose file names are all different; one file is broken."""
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for index in range(2):
            (root / name / f"{name}_{index}.png").write_bytes(encoded(picture(seed=2 * number + index)))
    (root / CLASSES[1] / "broken.png").write_bytes(b"broken")
    return root


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_is_written_scores_as_the_evaluation_does(vendor: Vendor, onnx_bundle: Bundle, tmp_path: Path) -> None:
    data = folder_of_pictures(tmp_path / "data")
    engine, source = Engine.open(onnx_bundle), open_source(str(data))
    written = write_results(vendor, tmp_path / "out", engine, image_files([data]))
    assert (written.seen, [Path(failure.key).name for failure in written.failures]) == (14, ["broken.png"])
    expected = evaluate(engine, source)
    outcomes = read_results(vendor, tmp_path / "out", len(CLASSES))
    labels = onnx_bundle.labels
    scored = score_results(vendor, tmp_path / "out", outcomes, truth_of_source(source, labels), labels)
    engine.close()
    assert (scored.top1, scored.top5) == (expected.top1, expected.top5)
    assert (scored.total, scored.seen, scored.failed) == (15, 14, 1)
    assert [Path(failure.path).name for failure in scored.failures] == ["broken.png"]
    assert [Path(one.path).name for one in scored.mistakes] != []
    assert (scored.confusion, scored.labels) == (expected.confusion, expected.labels)
    if vendor == "vastai":
        assert (scored.loss, scored.mistakes[0].probability, scored.calibration) == (None, None, ())
        return
    assert facts(scored).scores == "logits"
    assert scored.loss == pytest.approx(expected.loss, rel=1e-6)
    for figure in ("classes", "roc_auc", "macro", "calibration", "curves", "expected_calibration_error"):
        assert getattr(scored, figure) == getattr(expected, figure)


def outputs(logits: np.ndarray, meaning: str) -> np.ndarray:
    """What a tool gives for logits: as they are, as probabilities, or as these in half precision."""
    if meaning == "logits":
        return logits
    shares = softmax(logits)
    return shares.astype(np.float16).astype(np.float32) if meaning == "half" else shares


@pytest.mark.parametrize("meaning", ["logits", "probabilities", "half"])
@pytest.mark.parametrize("background", [False, True])
def test_scores_are_taken_for_what_they_are(meaning: str, background: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (40, 6 + background)).astype(np.float32)
    logits[:, 0] -= 20 * background
    targets = rng.integers(0, 6, 40)
    expected = TrueClasses("drawn", {f"{n}.jpg": int(target) for n, target in enumerate(targets)})
    answers = [VendorAnswer(f"{n}", outputs(logits[n : n + 1], meaning)[0], background=background) for n in range(40)]
    result = score_results("mindspore", tmp_path, answers, expected, LABELS)
    assert facts(result).scores == ("logits" if meaning == "logits" else "probabilities")
    own = log_softmax(logits)[np.arange(40), targets + background]
    assert result.loss == pytest.approx(-own.mean(), rel=3e-2 if meaning == "half" else 1e-5)
    assert result.labels == (("background", *"abcdef") if background else tuple("abcdef"))
    assert result.provenance
    assert result.provenance.options["scores"] == facts(result).scores


def test_scores_that_may_be_either_have_no_loss_until_it_is_said(tmp_path: Path) -> None:
    """Sigmoids lie between 0 and 1 and do not add up to 1."""
    rng = np.random.default_rng(0)
    scores = rng.random((20, 6)).astype(np.float32)
    expected = TrueClasses("drawn", {f"{n}.jpg": n % 6 for n in range(20)})
    answers = [VendorAnswer(f"{n}", scores[n]) for n in range(20)]

    def scored(**options: object) -> Evaluation:
        return score_results("mindspore", tmp_path, answers, expected, LABELS, **options)

    silent, logits = scored(), scored(scores="logits")
    assert (facts(silent).scores, silent.loss, silent.roc_auc, silent.calibration) == ("unknown", None, None, ())
    assert (facts(logits).scores, silent.top_k, silent.confusion) == ("logits", logits.top_k, logits.confusion)
    own = log_softmax(scores)[np.arange(20), np.arange(20) % 6]
    assert logits.loss == pytest.approx(-own.mean(), rel=1e-5)
    sigmoid = scored(activation="sigmoid")
    is_own = np.arange(6)[None] == (np.arange(20) % 6)[:, None]
    entropy = -np.where(is_own, np.log(scores), np.log1p(-scores)).mean()
    assert (facts(sigmoid).scores, sigmoid.loss) == ("probabilities", pytest.approx(entropy, rel=1e-4))


def test_a_probability_of_zero_has_a_finite_loss_and_the_last_place(tmp_path: Path) -> None:
    shares = np.array([0.5, 0.5, 0, 1e-45, 0, 0], np.float32)
    expected = TrueClasses("drawn", {"a": 2})
    result = score_results("mindspore", tmp_path, [VendorAnswer("a", shares)], expected, LABELS)
    assert result.loss == 104.0
    assert [interval.value for interval in result.top_k] == [0, 0, 0, 1, 1]


def test_results_with_and_without_a_background_class_are_not_mixed(tmp_path: Path) -> None:
    expected = TrueClasses("drawn", {"a": 2, "b": 2})
    answers = [
        VendorAnswer("a", np.zeros(6, np.float32)),
        VendorAnswer("b", np.zeros(7, np.float32), background=True),
    ]
    with pytest.raises(InputError, match="expected all of them with a background class, or none"):
        score_results("mindspore", tmp_path, answers, expected, LABELS)


def test_files_of_one_name_are_refused_before_anything_is_run(onnx_bundle: Bundle, tmp_path: Path) -> None:
    source = image_files([write_folder(tmp_path / "data")])
    engine = Engine.open(onnx_bundle)
    for vendor in ("ascend", "mindspore"):
        with pytest.raises(InputError, match="both known as '0'"):
            write_results(vendor, tmp_path / "out", engine, source)
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="choose another place"):
        write_results("vastai", tmp_path / "taken", engine, source)
    engine.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "taken"]
