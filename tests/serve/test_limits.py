import pytest

from xception.errors import UsageError
from xception.serve.limits import DECODED_BYTES_PER_PX, DECODER_BYTES, MIB, PART_BYTES, Limits


def test_the_bound_of_memory_grows_with_what_is_allowed() -> None:
    small, large = Limits(max_bodies_mb=64), Limits(max_bodies_mb=128)
    connection = 4 * 1024 * small.max_header_kb + PART_BYTES
    assert large.memory_bytes(2) - small.memory_bytes(2) == 3 * 64 * MIB
    over_grpc = small.memory_bytes(2, over_grpc=True) - small.memory_bytes(2)
    assert over_grpc == 64 * MIB + small.max_connections * connection
    more = Limits(max_bodies_mb=64, max_connections=small.max_connections + 1)
    assert more.memory_bytes(2) - small.memory_bytes(2) == connection
    assert small.memory_bytes(3) - small.memory_bytes(2) == DECODED_BYTES_PER_PX * small.max_pixels + DECODER_BYTES


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_images": 0}, "--max-images is 0"),
        ({"timeout_s": -1.0}, "--timeout-s"),
        ({"timeout_s": float("nan")}, "--timeout-s is nan"),
        ({"max_bodies_mb": 8}, "raise --max-bodies-mb"),
        ({"max_queued": 8}, "lower --max-images"),
    ],
)
def test_limits_that_let_nothing_in_are_refused(limits: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Limits(**limits)
