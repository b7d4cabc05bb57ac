import importlib

import pytest

import xception

MAX_NAMES = 15

# The promise to users: a name leaves this list only with a new major version.
PUBLIC = [
    "Bundle",
    "Preprocess",
    "VARIANTS",
    "XceptionError",
    "architecture",
    "benchmark",
    "build",
    "evaluate",
    "export_bundle",
    "open_bundle",
    "open_session",
    "open_source",
    "predict",
    "quantize_bundle",
    "train_network",
]


def test_the_public_names_are_those_promised() -> None:
    assert sorted(xception.__all__) == PUBLIC
    assert len(PUBLIC) <= MAX_NAMES


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_to_what_bears_it(name: str) -> None:
    assert getattr(xception, name) is getattr(importlib.import_module(xception._HOMES[name]), name)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'xception' has no attribute 'evalute'"):
        _ = xception.evalute


def test_public_names_are_found_by_dir() -> None:
    assert set(xception.__all__) <= set(dir(xception))


def test_the_version_is_a_version() -> None:
    assert [part.isdigit() for part in xception.__version__.split(".")] == [True] * 3
