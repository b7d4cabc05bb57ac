from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.support.samples import labelled
from tests.support.shards import planned
from xception.bundle import Bundle
from xception.data.source import Items
from xception.data.store import LocalStore
from xception.errors import InputError
from xception.pipeline.engine import Engine
from xception.tasks.plan import make_plan, settle_plan


@pytest.fixture
def engine(onnx_bundle: Bundle) -> Iterator[Engine]:
    with Engine.open(onnx_bundle) as opened:
        yield opened


def other_class(source: Items) -> Items:
    return Items(source.name, source.classes, (replace(source[0], target=1), *source.items[1:]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": labelled(19)}, "images is 20 there and 19 here"),
        ({"source": other_class(labelled(20))}, "other images, or in another order"),
        ({"source": Items("a", labelled(1).classes, labelled(20).items[::-1])}, "other images, or in another order"),
        ({"top": 2}, "top is 5 there and 2 here"),
        ({"images_per_shard": 7}, "images_per_shard is 6 there and 7 here"),
        ({"engine": "fast"}, "model.pixels is exact there and fast here"),
    ],
)
def test_another_plan_is_refused_with_what_differs(
    change: dict[str, object], said: str, engine: Engine, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "out")
    planned(engine, labelled(20), store)
    asked = {"table": "jsonl.gz", "images_per_shard": 6, "source": labelled(20), **change}
    asked["engine"] = engine.with_lane(mode="fast") if "engine" in change else engine
    with pytest.raises(InputError, match=said):
        settle_plan(store, make_plan(**asked))


@pytest.mark.parametrize("package", ["xception", "onnxruntime", "numpy", "pillow", "pyarrow"])
def test_a_plan_made_with_another_version_of_a_package_is_refused(package: str, engine: Engine, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    plan = make_plan(engine, labelled(20), table="parquet")
    settle_plan(store, plan)
    versions = {**plan.versions, package: "99"}
    with pytest.raises(
        InputError, match=rf"another plan: the version of {package} is [\d.]+\w* there and 99 here; run"
    ):
        settle_plan(store, msgspec.structs.replace(plan, versions=versions))


def test_all_packages_that_differ_are_named_in_one_sentence(engine: Engine, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    plan = planned(engine, labelled(20), store)
    assert "pyarrow" not in plan.versions
    versions = {**plan.versions, "numpy": "98", "openvino": "99"}
    said = r"the version of numpy is .* there and 98 here; the version of openvino is None there and 99 here; run"
    with pytest.raises(InputError, match=said):
        settle_plan(store, msgspec.structs.replace(plan, versions=versions))


def test_the_size_of_an_image_is_part_of_the_listing(engine: Engine) -> None:
    class Sized(Items):
        def size_of(self, place: int) -> int:
            return 100

    source = labelled(3)
    sized = Sized(source.name, source.classes, source.items)
    plans = [make_plan(engine, each, table="jsonl.gz") for each in (source, sized)]
    assert plans[0].listing != plans[1].listing
