"""Ports keep what they state about images, which is not what the weights were evaluated with."""

import numpy as np
import pytest

from tests.support.samples import picture
from xception.convert.catalog import CATALOG
from xception.convert.ports import PORTS


def test_ports_stand_behind_the_weights_that_they_are_of() -> None:
    order = list(CATALOG)
    for entry in PORTS:
        assert order.index(entry.name) > order.index(str(entry.port_of))


@pytest.mark.parametrize("entry", PORTS, ids=lambda entry: entry.name)
def test_only_ports_for_torch_prepare_images_as_the_weights_were_evaluated(entry: object) -> None:
    own, original = (CATALOG[name].preprocess(picture(500, 375)) for name in (entry.name, entry.port_of))  # type: ignore[attr-defined]
    assert np.array_equal(own, original) == (entry.variant == "timm_xception")  # type: ignore[attr-defined]
