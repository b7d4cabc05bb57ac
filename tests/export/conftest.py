import sys
from collections.abc import Sequence

import pytest

from tests.export import mindspore_double
from tests.export.contract import PYTHON
from xception.errors import EnvironmentFault
from xception.export import mindir
from xception.upstream import mindir as script


@pytest.fixture(scope="module")
def mindspore() -> object:
    """The script of the other interpreter runs in this process, on a stand-in for MindSpore."""

    def run_script(command: Sequence[str], complaint: str) -> None:
        assert list(command[:2]) == [PYTHON, script.__file__]
        with pytest.MonkeyPatch.context() as arguments:
            arguments.setattr(sys, "argv", list(command[1:]))
            try:
                script.main()
            except Exception as error:
                raise EnvironmentFault(f"{complaint}: {error}") from error

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mindspore", mindspore_double)
        patch.setattr(mindir, "run_script", run_script)
        yield
