from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.data.forms import tar_bytes
from tests.support.samples import CLASSES, encoded, labelled, picture, write_folder
from xception.bundle import Bundle
from xception.data.source import Items, Source
from xception.data.sources import open_source
from xception.pipeline.engine import Engine
from xception.tasks.compare import compare
from xception.tasks.evaluate import evaluate
from xception.tasks.evaluation import Evaluation
from xception.tasks.provenance import DataFingerprint, ResultProvenance, changed_facts, flat


@pytest.fixture(scope="module")
def engine(onnx_bundle: Bundle) -> Iterator[Engine]:
    with Engine.open(onnx_bundle) as opened:
        yield opened


def provenance(engine: Engine, source: Source, **options: object) -> ResultProvenance:
    found = evaluate(engine, source, **options).provenance
    assert found is not None
    return found


def test_a_result_names_its_model_its_data_and_every_option(engine: Engine) -> None:
    found = provenance(engine, labelled(10), tta="flip")
    (model,) = found.models
    assert (model.digest, model.backend, model.pixels) == (engine.bundle.model.digest, "onnxruntime", "reference")
    assert model.preprocess == engine.bundle.model.preprocess
    assert (found.data.images, len(found.data.fingerprint)) == (10, 64)
    assert found.options == {
        "class_map": {}, "subset": False, "tta": "flip", "real": None, "damaged_images": "noted"
    }  # fmt: skip
    assert {"xception", "onnxruntime", "numpy", "pillow", "python"} <= found.versions.keys()
    assert {"cpu", "cores", "system"} <= found.machine.keys()


def test_the_same_images_have_one_fingerprint_in_every_form_and_order(engine: Engine, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "folder", 2)
    folder = open_source(root)
    members: dict[str, bytes] = {}
    lines = []
    for item in reversed(list(folder)):
        key = item.key.replace("/", "_").removesuffix(".png")
        members |= {f"{key}.png": (root / item.key).read_bytes(), f"{key}.cls": str(item.target).encode()}
        lines.append(f"folder/{item.key} {item.target}\n")
    (tmp_path / "s.tar").write_bytes(tar_bytes(members))
    (tmp_path / "list.txt").write_text("".join(lines))
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    places = [root, tmp_path / "s.tar", tmp_path / "list.txt"]
    first, *others = (provenance(engine, open_source(place)).data.fingerprint for place in places)
    assert others == [first, first]
    (root / CLASSES[0] / "0.png").write_bytes(encoded(picture(seed=99)))
    assert provenance(engine, open_source(root)).data.fingerprint != first


def test_another_label_is_another_fingerprint_and_an_unreadable_image_counts(engine: Engine) -> None:
    whole = labelled(6)
    moved = Items("moved", CLASSES, tuple(replace(item, target=0) for item in whole))
    broken = labelled(6, broken=(2,))
    fingerprints = [provenance(engine, source).data.fingerprint for source in (whole, moved, broken)]
    assert len(set(fingerprints)) == 3


def test_an_image_that_two_models_load_counts_once(engine: Engine) -> None:
    found = compare(engine, engine, labelled(8)).provenance
    assert found is not None
    assert len(found.models) == 2
    assert found.data == provenance(engine, labelled(8)).data


def test_what_is_loaded_twice_counts_once() -> None:
    once, twice = DataFingerprint(), DataFingerprint()
    for item in once.watch(labelled(3)):
        item.load()
    for item in twice.watch(labelled(3)):
        item.load()
        item.load()
    assert str(once) == str(twice)


def test_the_facts_that_differ_are_named_by_their_places(engine: Engine) -> None:
    first, second = provenance(engine, labelled(6)), provenance(engine, labelled(7), tta="flip")
    found = changed_facts(first, second)
    assert found.keys() == {"data.images", "data.fingerprint", "options.tta"}
    assert found["options.tta"] == (None, "flip")
    assert changed_facts(first, first) == {}
    assert flat(first)["models.0.digest"] == engine.bundle.model.digest


def test_a_document_with_its_provenance_reads_back(engine: Engine) -> None:
    result = evaluate(engine, labelled(6))
    assert msgspec.json.decode(msgspec.json.encode(result), type=Evaluation) == result
