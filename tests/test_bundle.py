import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from tests.conftest import NETWORK
from tests.support.samples import CLASSES
from xception.bundle import (
    FORMAT_VERSION,
    Agreement,
    Bundle,
    Model,
    Network,
    Score,
    child,
    ensure_free_for_bundle,
    open_bundle,
    unwritten_bundle,
    write_bundle,
)
from xception.errors import EnvironmentFault, InputError, UsageError
from xception.intervals import Interval
from xception.labels import Labels
from xception.preprocess import CenterCrop, Preprocess, ShorterSide
from xception.weights import read_weights, weights_bytes

LABELS = Labels(CLASSES, tuple(f"id-{name}" for name in CLASSES))
CONTENT = {"weights.safetensors": weights_bytes({"a": np.arange(4096, dtype=np.float32)})}
MODEL = Model(
    name="small",
    network=NETWORK,
    form="weights",
    precision="float32",
    preprocess=Preprocess(resize=ShorterSide(px=36), crop=CenterCrop(width_px=32, height_px=32)),
    metrics={
        "digits:test": Score(
            total=10, seen=9, failed=1, top1=Interval(value=0.5, low=0.2, high=0.8), top5=None, loss=0.25
        )
    },
    agreement=Agreement(samples=4, max_abs_diff=1e-6, mean_abs_diff=1e-7, relative_diff=1e-8, top1_agreement=1.0),
    passed_gate=True,
)


def written(path: Path, **options: bool) -> Bundle:
    return write_bundle(path, MODEL, LABELS, CONTENT, **options)


def edit(bundle: Bundle, **changes: object) -> None:
    """Change `model.json` by hand."""
    document = json.loads((bundle.path / "model.json").read_text())
    (bundle.path / "model.json").write_text(json.dumps(document | changes))


def test_a_bundle_opens_as_it_was_written(tmp_path: Path) -> None:
    bundle = written(tmp_path / "b")
    assert open_bundle(tmp_path / "b", verify=True) == bundle
    assert bundle.labels == LABELS
    assert msgspec.structs.replace(bundle.model, files={}, digest="") == MODEL
    assert read_weights(bundle.main_file)["a"].tolist() == list(range(4096))
    assert bundle.size_bytes == len(CONTENT["weights.safetensors"])


def test_a_bundle_holds_its_files_and_nothing_else(tmp_path: Path) -> None:
    written(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "README.md",
        "labels.txt",
        "model.json",
        "weights.safetensors",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_equal_content_gives_equal_digests_and_other_content_another(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    other = write_bundle(tmp_path / "c", MODEL, Labels(CLASSES), CONTENT)
    assert first.model.digest == second.model.digest != other.model.digest


def test_files_may_be_given_by_path(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT["weights.safetensors"])
    bundle = write_bundle(tmp_path / "b", MODEL, LABELS, {"weights.safetensors": tmp_path / "source"})
    assert bundle.main_file.read_bytes() == CONTENT["weights.safetensors"]


def test_the_bundle_of_a_training_run_is_found_in_its_folder(tmp_path: Path) -> None:
    bundle = written(tmp_path / "run" / "bundle")
    assert open_bundle(tmp_path / "run") == bundle


def test_a_network_that_is_none_of_the_variants_has_no_specification() -> None:
    network = Network(variant=None, num_classes=5, in_channels=1)
    assert network.title == "none of the variants"
    with pytest.raises(UsageError, match="adopted graph that is none of the variants has no specification"):
        network.architecture()


def test_the_network_can_be_built_again() -> None:
    widths = {"stackwise_filters": ((8,), (16, 16)), "stackwise_pooling": (False, False)}
    own = Network(variant="keras_xception", num_classes=5, in_channels=1, norm_epsilon=1e-4, **widths)
    assert (own.architecture().head.in_channels, own.architecture().norm.epsilon) == (16, 1e-4)
    assert msgspec.json.decode(msgspec.json.encode(own), type=Network) == own
    spec = Network(variant="timm_xception41", num_classes=5, in_channels=1, width=0.5, output_stride=16).architecture()
    assert (spec.num_classes, spec.in_channels, spec.output_stride) == (5, 1, 16)


@pytest.mark.parametrize("name", ["labels.txt", "weights.safetensors", "model.json"])
def test_any_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    written(tmp_path / "b")
    content = (tmp_path / "b" / name).read_bytes()
    positions = range(0, len(content), max(1, len(content) // 50))
    for position in positions:
        changed = bytearray(content)
        changed[position] ^= 1
        (tmp_path / "b" / name).write_bytes(changed)
        with pytest.raises(InputError, match=r"model\.json|is not the file|cannot be read|is not listed"):
            open_bundle(tmp_path / "b", verify=True)
    (tmp_path / "b" / name).write_bytes(content)
    open_bundle(tmp_path / "b", verify=True)


def test_a_changed_figure_in_the_description_is_found(tmp_path: Path) -> None:
    bundle = written(tmp_path / "b")
    edit(bundle, passed_gate=None)
    with pytest.raises(InputError, match=r"model\.json was changed after it was written"):
        open_bundle(bundle.path, verify=True)


@pytest.mark.parametrize("name", ["labels.txt", "weights.safetensors"])
def test_a_missing_or_shortened_file_is_found_without_verification(tmp_path: Path, name: str) -> None:
    bundle = written(tmp_path / "b")
    file = bundle.path / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{name} is not the file"):
        open_bundle(bundle.path)
    file.unlink()
    with pytest.raises(InputError, match=f"{name} cannot be read"):
        open_bundle(bundle.path)


def test_another_format_version_names_both(tmp_path: Path) -> None:
    bundle = written(tmp_path / "b")
    edit(bundle, format_version=FORMAT_VERSION + 7, something_new=1)
    with pytest.raises(
        InputError, match=f"format version {FORMAT_VERSION + 7}, this program reads version {FORMAT_VERSION}"
    ):
        open_bundle(bundle.path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"form": "tflite"}, "tflite"),
        ({"network": {"variant": "mini_xception"}}, "num_classes"),
        ({"preprocess": {"divisor": 0}}, "divides by zero"),
        ({"files": {}}, r"weights\.safetensors and labels\.txt among them"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    bundle = written(tmp_path / "b")
    edit(bundle, **changes)
    with pytest.raises(InputError, match=message):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "sub/file", "..", ".", ""])
def test_a_listed_file_outside_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    bundle = written(tmp_path / "b")
    files = json.loads((bundle.path / "model.json").read_text())["files"]
    edit(bundle, files=files | {name: {"sha256": "", "size_bytes": 1}})
    with pytest.raises(InputError, match="expected plain names"):
        open_bundle(bundle.path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format_version": "1"}', b"[" * 100_000]
)
def test_a_description_that_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    bundle = written(tmp_path / "b")
    (bundle.path / "model.json").write_bytes(content)
    with pytest.raises(InputError, match="is not a valid bundle description"):
        open_bundle(bundle.path)


def test_a_folder_without_a_description_is_named_as_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "b" / "model.json").mkdir(parents=True)
    for name, message in (
        ("none", "does not exist"),
        (".", "is not a bundle"),
        ("file", "cannot read"),
        ("b", "cannot read"),
    ):
        with pytest.raises(InputError, match=message):
            open_bundle(tmp_path / name)


def test_labels_must_be_as_many_as_the_classes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 labels for a network of 7 classes"):
        write_bundle(tmp_path / "b", MODEL, Labels(("cat", "dog")), CONTENT)
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    written(tmp_path / "b")
    open_bundle(tmp_path / "b", verify=True)


def test_an_old_bundle_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    old = written(tmp_path / "b")
    (old.path / "note").write_text("old")
    with pytest.raises(InputError, match=r"already holds a bundle; .* --overwrite"):
        written(tmp_path / "b")
    assert (old.path / "note").exists()
    written(tmp_path / "b", overwrite=True)
    assert not (old.path / "note").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("folder", "file"):
        with pytest.raises(InputError, match="exists and is not a bundle"):
            ensure_free_for_bundle(tmp_path / name, overwrite=overwrite)
        with pytest.raises(InputError, match="exists and is not a bundle"):
            written(tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "folder" / "thesis.txt").exists()


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match=r"cannot write to .*file"):
        written(tmp_path / "file" / "b")


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """A limit on the size of files, beyond which the system refuses to write as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_room_nothing_is_left_behind(tmp_path: Path) -> None:
    with room_for(8192), pytest.raises(EnvironmentFault, match="nothing was left behind"):
        written(tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_without_room_the_old_bundle_stays(tmp_path: Path) -> None:
    old = written(tmp_path / "b")
    with room_for(8192), pytest.raises(EnvironmentFault):
        written(tmp_path / "b", overwrite=True)
    assert open_bundle(tmp_path / "b", verify=True) == old
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match=r"No space left on device; .*; make room"):
        written(tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_a_file_name_that_leaves_the_bundle_is_not_written(tmp_path: Path) -> None:
    for name in ("../outside", str(tmp_path / "outside"), "sub/inside", ".."):
        with pytest.raises(UsageError, match="expected plain file names"):
            write_bundle(tmp_path / "b", MODEL, LABELS, {**CONTENT, name: b"x"})
    assert not list(tmp_path.iterdir())


def test_a_bundle_in_memory_gives_its_files_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "copied").write_bytes(b"card")
    files = {**CONTENT, "more.txt": tmp_path / "copied"}
    made = unwritten_bundle(tmp_path / "b", MODEL, LABELS, files)
    for _ in range(2):
        assert made.content() == CONTENT["weights.safetensors"]
        assert made.content("more.txt") == b"card"
    assert made.model.files["more.txt"].size_bytes == 4
    assert [path.name for path in tmp_path.iterdir()] == ["copied"]


def test_a_bundle_in_memory_is_closed_too(onnx_bundle: Bundle, tmp_path: Path) -> None:
    graph = onnx.load_model_from_string(open_bundle(onnx_bundle.path).content())
    for tensor in graph.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, "w.bin")
    made = unwritten_bundle(tmp_path / "b", onnx_bundle.model, LABELS, {"model.onnx": graph.SerializeToString()})
    with pytest.raises(InputError, match="is refused: it takes values from outside itself"):
        made.content()


def test_a_child_extends_the_lineage_and_drops_its_parents_results(tmp_path: Path) -> None:
    parent = written(tmp_path / "b")
    model = child(parent, "export", {"onnx": "1.0"}, to="onnx")
    assert (model.metrics, model.agreement, model.passed_gate) == ({}, None, None)
    (step,) = model.lineage
    assert (step.verb, step.parent, step.tools, step.settings) == (
        "export",
        parent.model.digest,
        {"onnx": "1.0"},
        {"to": "onnx"},
    )
    grandchild = child(Bundle(path=parent.path, model=model, labels=LABELS), "quantize", {})
    assert [step.verb for step in grandchild.lineage] == ["export", "quantize"]
