import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xception.data.stratify import stratified_parts


@given(st.lists(st.frozensets(st.integers(0, 4)), max_size=60), st.integers(2, 5))
def test_every_image_is_given_to_one_part(chosen: list[frozenset[int]], parts: int) -> None:
    found = [tuple(sorted(own)) for own in chosen]
    totals = np.bincount([target for own in found for target in own], minlength=5)
    given_out = stratified_parts(found, np.full(parts, len(found) / parts), np.tile(totals / parts, (parts, 1)))
    assert len(given_out) == len(found)
    assert set(given_out) <= set(range(parts))
    rarest = totals[totals > 0].min() if totals.any() else 0
    index = int(np.flatnonzero(totals == rarest)[0]) if rarest else 0
    own = np.bincount([part for part, own in zip(given_out, found, strict=True) if index in own], minlength=parts)
    assert rarest == 0 or own.max() - own.min() <= 1
