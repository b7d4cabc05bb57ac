import pickle

import pytest

from xception.errors import CheckFailed, DecodeError, EnvironmentFault, UsageError
from xception.tasks.faults import ToldFault


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (UsageError("no such class"), UsageError, "no such class (on a)"),
        (CheckFailed("too many failed"), CheckFailed, "too many failed (on a)"),
        (DecodeError("cut off"), EnvironmentFault, "cut off (on a)"),
        (KeyError("a"), RuntimeError, "KeyError: 'a' (on a)"),
    ],
)
def test_an_error_of_another_process_keeps_its_exit_code(error: Exception, kind: type[Exception], said: str) -> None:
    told = pickle.loads(pickle.dumps(ToldFault.from_error(error, "on a")))
    assert type(told.error()) is kind
    assert str(told.error()) == said
    assert getattr(told.error(), "exit_code", None) == getattr(error, "exit_code", None)
