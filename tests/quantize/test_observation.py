import numpy as np
import onnx
import pytest

from xception.bundle import Bundle
from xception.data.digits import digits
from xception.quantize.observation import exposed_session, observe
from xception.tasks.agreement import data_pixels


def test_every_activation_is_seen_however_the_images_are_batched(reader: Bundle) -> None:
    model = onnx.load(reader.main_file)
    pixels = data_pixels(digits("train"), reader.model.preprocess, 6)
    name = "blocks.0.units.0.depthwise"
    (values,) = exposed_session(model, [name]).run([name], {"pixels": pixels})
    for batches in ([pixels], [image[None] for image in pixels]):
        seen = observe(model, batches)
        inside = {node.output[0] for node in model.graph.node if node.op_type != "Identity"}
        assert set(seen.histograms) == {"pixels", *inside}
        assert seen.ranges("max")[name] == pytest.approx((values.min(), values.max()), rel=1e-4)
        np.testing.assert_allclose(seen.peaks[name], np.abs(values).max((0, 2, 3)), rtol=1e-4)
        assert seen.histograms[name].counts.sum() == values.size


def test_the_error_is_a_share_of_the_signal(reader: Bundle) -> None:
    model = onnx.load(reader.main_file)
    seen = observe(model, [data_pixels(digits("train"), reader.model.preprocess, 6)])
    assert 0 < seen.error(seen.ranges("mse")) <= seen.error(seen.ranges("max")) < 0.01
    everything_clipped = dict.fromkeys(seen.histograms, (0.0, 1e-9))
    assert seen.error(everything_clipped) == pytest.approx(1, abs=0.01)
