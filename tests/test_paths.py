from pathlib import Path

import pytest

from xception.errors import UsageError
from xception.paths import as_path


@pytest.mark.parametrize("value", ["folder/bundle", Path("folder/bundle")])
def test_strings_and_path_objects_are_paths(value: str | Path) -> None:
    assert as_path(value, "a bundle") == Path("folder/bundle")


@pytest.mark.parametrize("value", [3, None, b"folder"])
def test_anything_else_is_refused_with_what_was_expected(value: object) -> None:
    with pytest.raises(UsageError, match=r"a bundle is named by a path, as str or pathlib\.Path; got "):
        as_path(value, "a bundle")  # type: ignore[arg-type]
