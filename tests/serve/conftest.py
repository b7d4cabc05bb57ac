"""A server that most tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import Running, opened, running
from tests.support.reader import weights_of_digits
from xception.bundle import Bundle
from xception.export.export import export_bundle
from xception.export.program import GraphOptions


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A reader of digits that gives class maps. Not to be written to."""
    folder = tmp_path_factory.mktemp("mapped")
    return export_bundle(
        weights_of_digits(folder / "weights"), "onnx", folder / "onnx", options=GraphOptions(class_maps=True)
    )


@pytest.fixture(scope="session")
def server(mapped: Bundle, onnx_bundle: Bundle) -> Iterator[Running]:
    """Two models: `digits` with class maps, and `small` in colour."""
    with running(opened({"digits": mapped, "small": onnx_bundle})) as found:
        yield found


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight PNG files of digits."""
    from xception.data.digits import digits

    folder = tmp_path_factory.mktemp("digit_files")
    paths = []
    for item in list(digits("test"))[:8]:
        paths.append(folder / f"{item.key}.png")
        item.load().save(paths[-1])
    return paths
