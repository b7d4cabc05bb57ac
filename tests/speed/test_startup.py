import sys
from pathlib import Path

import pytest

from tests.support.samples import CLASSES, labelled
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.errors import EnvironmentFault, InputError
from xception.speed import startup as module
from xception.speed.startup import startup


def test_a_fresh_process_gives_a_label_in_a_time_and_a_memory(onnx_bundle: Bundle) -> None:
    measured = startup(onnx_bundle.path, "onnxruntime", labelled(3, broken=(0,)), repeats=1)
    assert measured.label in CLASSES
    assert measured.backend == "onnxruntime"
    assert measured.first_label_ms.samples == 1
    assert measured.first_label_ms.p50 > 0
    assert (measured.peak_memory_bytes or 0) > 1e7


CHILD = """
import sys
print("path,rank,index,label,probability,failure")
print('photo,1,0,"crane, a bird",0.9,')
sys.exit({code})
"""


@pytest.fixture
def image_in_memory() -> Items:
    (item,) = labelled(1)
    return Items("one", (), (Item("a", None, item.load),))


def test_labels_may_hold_commas_and_the_time_is_the_clocks(
    image_in_memory: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter((0.0, 0.25, 0.0, 0.75))
    monkeypatch.setattr(module, "PREDICT", (sys.executable, "-c", CHILD.format(code=0)))
    measured = startup(Path("none"), "any", image_in_memory, repeats=2, clock=lambda: next(looks))
    assert measured.label == "crane, a bird"
    assert (measured.first_label_ms.p50, measured.first_label_ms.p99) == (250, 750)


def test_a_process_that_fails_is_no_measurement(image_in_memory: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PREDICT", (sys.executable, "-c", CHILD.format(code=3)))
    with pytest.raises(EnvironmentFault, match="gave no label"):
        startup(Path("none"), "any", image_in_memory, repeats=1)


def test_what_a_process_complained_of_is_said(onnx_bundle: Bundle) -> None:
    with pytest.raises(EnvironmentFault, match="unknown backend 'none'"):
        startup(onnx_bundle.path, "none", labelled(1), repeats=1)


def test_without_a_photo_there_is_no_first_label(onnx_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="none of the images of pictures can be read"):
        startup(onnx_bundle.path, "onnxruntime", labelled(1, broken=(0,)), repeats=1)
