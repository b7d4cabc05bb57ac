import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.interchange.readers import read_class_info, read_class_names, read_vastai_input
from xception.errors import InputError
from xception.interchange import vastai
from xception.interchange.vendor_answers import Outcome, Unreadable, VendorAnswer
from xception.labels import Labels, imagenet1k

LABELS = Labels(names=("ant, emmet", "bee", "cat", "dog", "eel", "fox"), ids=("n0", "n1", "n2", "n3", "n4", "n5"))
SCORES = np.array([0.0, 5.0, 4.0, 3.0, 2.0, 1.0], np.float32)
PATHS = ("/data/n0/a.b.JPEG", "/data/n1/c.JPEG")


def written(folder: Path) -> Path:
    vastai.write_vastai_results(folder, [(PATHS[0], SCORES), (PATHS[1], SCORES[::-1])], LABELS)
    return folder


def test_a_line_has_the_form_that_the_scorer_cuts(tmp_path: Path) -> None:
    lines = (written(tmp_path) / "result.txt").read_text().splitlines()
    assert len(lines) == 10
    assert lines[0] == "/data/n0/a.b.JPEG: Relay top-0 id: 1, prob: 0.63369132, class name: bee"
    assert lines[0].split("/")[-2] == "n0"
    assert lines[9].split(":")[4].strip() == "ant, emmet"


def test_both_kinds_of_results_come_back(tmp_path: Path) -> None:
    folder = written(tmp_path)
    text = list(vastai.read_vastai_results(folder, 6))
    arrays = list(vastai.read_vastai_results(folder / "output", 6, folder / "datalist.txt"))
    for outcomes in (text, arrays):
        assert [outcome.path for outcome in outcomes] == list(PATHS)
        assert [rank_of(outcomes[0], k) for k in (1, 2, 5)] == [0, 1, 4]
        assert [rank_of(outcomes[1], k) for k in (4, 1)] == [0, 3]
    assert vastai.image_paths(folder) == list(PATHS)
    assert vastai.image_paths(folder / "output", folder / "datalist.txt") == list(PATHS)


def rank_of(outcome: Outcome, target: int) -> int:
    assert isinstance(outcome, VendorAnswer)
    return outcome.rank(target)


def reasons(folder: Path, change: list[str]) -> list[str]:
    (folder / "result.txt").write_text("\n".join(change) + "\n")
    return [outcome.reason for outcome in vastai.read_vastai_results(folder, 6) if isinstance(outcome, Unreadable)]


def test_a_line_that_is_missing_broken_or_out_of_order_makes_its_image_unreadable(tmp_path: Path) -> None:
    lines = (written(tmp_path) / "result.txt").read_text().splitlines()
    assert reasons(tmp_path, lines) == []
    (reason,) = reasons(tmp_path, [*lines[:2], *lines[3:]])
    assert "places [0, 1, 3, 4]" in reason
    (reason,) = reasons(tmp_path, lines[:9])
    assert "places [0, 1, 2, 3]" in reason
    (reason,) = reasons(tmp_path, [lines[0], lines[2], lines[1], *lines[3:]])
    assert "places [0, 2, 1, 3, 4]" in reason
    broken, cut = reasons(tmp_path, [*lines[:9], lines[9][:30]])
    assert "expected PATH: Relay top-K id" in broken
    assert "places [0, 1, 2, 3]" in cut
    (reason,) = reasons(tmp_path, [lines[0].replace("id: 1,", "id: 6,"), *lines[1:]])
    assert "classes [6, 2, 3, 4, 5]" in reason
    (reason,) = reasons(tmp_path, [lines[0].replace("id: 1,", "id: 2,"), *lines[1:]])
    assert "classes [2, 2, 3, 4, 5]" in reason


def test_an_image_that_comes_twice_gives_two_answers(tmp_path: Path) -> None:
    lines = (written(tmp_path) / "result.txt").read_text().splitlines()
    (tmp_path / "result.txt").write_text("\n".join([*lines[:5], *lines[:5]]))
    assert [outcome.path for outcome in vastai.read_vastai_results(tmp_path, 6)] == [PATHS[0]] * 2


def outcome_of(folder: Path, content: bytes) -> Outcome:
    (folder / "output").mkdir()
    (folder / "output" / "o.npz").write_bytes(content)
    (folder / "list.txt").write_text("/data/n0/a.npz\n")
    (outcome,) = vastai.read_vastai_results(folder / "output", 6, folder / "list.txt")
    return outcome


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(6,), (1, 6), (1, 6, 1, 1), (7,)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_outputs_of_any_shape_and_type_are_read(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    outcome = outcome_of(
        tmp_path, npz(output_0=np.arange(shape[0] * np.prod(shape[1:], dtype=int)).reshape(shape).astype(dtype))
    )
    assert rank_of(outcome, 5) == 0


def bomb() -> bytes:
    file = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("output_0.npy", header.getvalue())
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        npz(output_0=SCORES)[:-40],
        npz(output_0=SCORES)[:100],
        npz(output_1=SCORES),
        npz(output_0=np.array([{"a": 1}], object)),
        npz(output_0=np.array(["a"] * 6)),
        npz(output_0=SCORES[:3]),
        bomb(),
        np.lib.format.magic(1, 0),
    ],
    ids=["empty", "text", "cut", "halved", "other", "objects", "strings", "short", "bomb", "bare"],
)
def test_an_output_that_is_broken_is_unreadable_and_nothing_in_it_runs(content: bytes, tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, content)
    assert isinstance(outcome, Unreadable)
    assert outcome.path == "/data/n0/a.npz"


def test_a_missing_output_is_only_told_by_names(tmp_path: Path) -> None:
    inputs = [f"/d/n0/{name}.npz" for name in "abc"]
    (tmp_path / "list.txt").write_text("\n".join(inputs))
    (tmp_path / "output").mkdir()
    for name in "ac":
        np.savez(tmp_path / "output" / f"{name}.npz", output_0=SCORES)
    outcomes = list(vastai.read_vastai_results(tmp_path / "output", 6, tmp_path / "list.txt"))
    assert [outcome.path for outcome in outcomes] == [inputs[0], inputs[2]]
    (tmp_path / "list.txt").write_text("\n".join(reversed(inputs)))
    with pytest.raises(InputError, match="2 outputs for the 3 images"):
        list(vastai.read_vastai_results(tmp_path / "output", 6, tmp_path / "list.txt"))


def test_outputs_without_a_datalist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--datalist"):
        vastai.read_vastai_results(tmp_path, 6)


@pytest.mark.parametrize("path", ["a.JPEG", "/d/n0/a:b.JPEG"])
def test_a_path_that_the_scorer_would_cut_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absolute path without a colon"):
        vastai.write_vastai_results(tmp_path, [(path, SCORES)], LABELS)


@pytest.mark.parametrize("names", [("a", "b", "c", "d"), ("a", "b", "c", "d", "e/f"), ("a", "b", "c", "d", "e:f")])
def test_class_names_that_the_scorer_cannot_read_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="VastAI"):
        vastai.write_vastai_results(tmp_path, [], Labels(names))


def test_the_label_files_come_back(tmp_path: Path) -> None:
    vastai.write_class_names(tmp_path / "imagenet.txt", imagenet1k())
    assert read_class_names(tmp_path / "imagenet.txt")[:2] == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    vastai.write_class_info(tmp_path / "imagenet_info.py", imagenet1k())
    assert read_class_info(tmp_path / "imagenet_info.py") == imagenet1k()


def test_inputs_come_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 4), np.uint8)
    vastai.write_vastai_input(tmp_path / "a.npz", pixels)
    assert np.array_equal(read_vastai_input(tmp_path / "a.npz"), pixels)


def test_a_datalist_comes_back(tmp_path: Path) -> None:
    vastai.write_datalist(tmp_path / "list.txt", PATHS)
    assert vastai.read_datalist(tmp_path / "list.txt") == list(PATHS)
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(InputError, match="empty"):
        vastai.read_datalist(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("no line of a result\n")
    with pytest.raises(InputError, match="no line of the form"):
        vastai.image_paths(tmp_path / "list.txt")
