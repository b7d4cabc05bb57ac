import importlib

import xception

MOST_NAMES = 15


def test_the_public_names_are_few_sorted_and_resolve() -> None:
    names = xception.__all__
    assert len(names) <= MOST_NAMES
    assert list(names) == sorted(set(names))
    assert all(getattr(xception, name) is not None for name in names)


def test_public_names_are_found_by_dir() -> None:
    assert set(xception.__all__) <= set(dir(xception))


def test_the_version_is_a_version() -> None:
    importlib.reload(xception)
    assert [part.isdigit() for part in xception.__version__.split(".")] == [True] * 3
