"""Every form holds heads that pool otherwise or have a hidden layer; a wrong pooling is found."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.export.contract import export_to_form, logits, parent_logits, relative
from tests.support.lanes import slow_unless
from tests.support.samples import drawn_tensors
from xception.arch.graph import GlobalAveragePool, GlobalMaxPool
from xception.arch.spec import Pooling
from xception.bundle import Bundle, Network, write_bundle
from xception.errors import CheckFailed, UsageError
from xception.export import export
from xception.export.program import Program, program
from xception.forms import Form, exportable
from xception.preprocess import Preprocess, Squash
from xception.tasks.agreement import probe_pixels
from xception.weights import weights_bytes

pytestmark = pytest.mark.usefixtures("mindspore")

HEADS: tuple[tuple[Pooling, int | None], ...] = (("max", None), ("avgmax", None), ("catavgmax", 4))


def headed(like: Bundle, place: Path, pooling: Pooling, hidden: int | None = None) -> Bundle:
    network = Network(
        variant="timm_xception", num_classes=7, in_channels=3, width=0.05, pooling=pooling, hidden_features=hidden
    )
    values = drawn_tensors(network.architecture())
    model = msgspec.structs.replace(
        like.model, network=network, preprocess=Preprocess(resize=Squash(height_px=71, width_px=96))
    )
    return write_bundle(place, model, like.labels, {"weights.safetensors": weights_bytes(values)})


@pytest.mark.parametrize("form", slow_unless(lambda form: form not in ("pt2", "torchscript"), exportable()))
@pytest.mark.parametrize(("pooling", "hidden"), slow_unless(lambda head: head == ("catavgmax", 4), HEADS))
def test_a_form_holds_the_head(
    weights_bundle: Bundle, tmp_path: Path, form: Form, pooling: Pooling, hidden: int | None
) -> None:
    parent = headed(weights_bundle, tmp_path / "parent", pooling, hidden)
    exported = export_to_form(parent, form, tmp_path / "out")
    pixels = probe_pixels(exported, 4, (71, 96))
    assert relative(logits(exported, pixels, parent), parent_logits(parent, pixels)) < 1e-5


def test_an_average_in_place_of_a_maximum_is_found(
    weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = program

    def averaged(*arguments: object) -> Program:
        made = original(*arguments)
        nodes = tuple(
            GlobalAveragePool(node.name, node.source) if isinstance(node, GlobalMaxPool) else node
            for node in made.nodes
        )
        return replace(made, nodes=nodes)

    parent = headed(weights_bundle, tmp_path / "parent", "max")
    monkeypatch.setattr(export, "program", averaged)
    with pytest.raises(CheckFailed, match=r"head\.pool"):
        export_to_form(parent, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_class_maps_of_a_maximum_are_refused(weights_bundle: Bundle, tmp_path: Path) -> None:
    parent = headed(weights_bundle, tmp_path / "parent", "max")
    with pytest.raises(UsageError, match="has no class maps"):
        export_to_form(parent, "onnx", tmp_path / "out", class_maps=True)
