"""How an attack must end: with one clear error, soon, in little memory, and with nothing run."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest

from xception.convert.readers import read_checkpoint
from xception.errors import InputError

MAX_CPU_S = 60.0  # with tracing; the slowest attack takes a fortieth of it
PEAK_PER_BYTE = 32
PEAK_ANYWAY_BYTES = 64 * 2**20  # what `MAX_OPCODES` objects take


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that hostile content tries to create; its absence is checked after the test."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "content of a checkpoint was run"


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., None]:
    """Check that reading `content` ends as an attack must, with a message that matches `reason`."""

    def check(content: bytes, reason: str, name: str = "hostile") -> None:
        path = tmp_path / name
        path.write_bytes(content)
        tracemalloc.start()
        start = process_time()
        try:
            with pytest.raises(InputError, match=reason) as caught:
                read_checkpoint(path)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert process_time() - start < MAX_CPU_S
        assert peak_bytes < PEAK_PER_BYTE * len(content) + PEAK_ANYWAY_BYTES
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1500

    return check
