from pathlib import Path

import pytest

from xception.arguments import as_path, require_type
from xception.errors import UsageError


@pytest.mark.parametrize("value", ["folder/bundle", Path("folder/bundle")])
def test_strings_and_path_objects_are_paths(value: str | Path) -> None:
    assert as_path(value, "a bundle") == Path("folder/bundle")


@pytest.mark.parametrize("value", [3, None, b"folder"])
def test_anything_else_is_refused_with_what_was_expected(value: object) -> None:
    with pytest.raises(UsageError, match=r"a bundle is named by a path, as str or pathlib\.Path; got "):
        as_path(value, "a bundle")


def test_a_type_is_checked_with_a_sentence() -> None:
    require_type("digits", str, "the data", "anywhere")
    with pytest.raises(UsageError, match=r"the data has to be of type str, from xception\.open_source.*; got int"):
        require_type(3, str, "the data", "xception.open_source(...)")
