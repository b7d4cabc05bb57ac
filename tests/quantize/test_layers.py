import onnx

from xception.bundle import Bundle
from xception.data.digits import digits
from xception.quantize.layers import layer_errors, sensitivity
from xception.quantize.observation import observe
from xception.quantize.qdq import Scheme, quantize_graph
from xception.quantize.ranges import Range
from xception.tasks.agreement import data_pixels

BAD = "blocks.2.units.0.depthwise"
READER = "blocks.2.units.0.pointwise"


def test_the_layer_with_a_ruined_range_is_found_by_both(reader: Bundle) -> None:
    model = onnx.load(reader.main_file)
    pixels = data_pixels(digits("train"), reader.model.preprocess, 16)
    ranges: dict[str, Range] = observe(model, [pixels]).ranges("max")
    sound_ranges = dict(ranges)
    ranges[BAD] = (ranges[BAD][0] / 20, ranges[BAD][1] / 20)
    rows = sensitivity(model, ranges, Scheme(), [pixels])
    assert {rows[0].name, rows[1].name} == {BAD, READER}
    assert rows[1].error > 3 * rows[2].error
    good, bad = (
        {row.name: row.error for row in layer_errors(model, quantize_graph(model, chosen, Scheme()), [pixels])}
        for chosen in (sound_ranges, ranges)
    )
    assert list(good)[:2] == ["stem.0.conv", "stem.1.conv"]
    assert good["stem.0.conv"] == bad["stem.0.conv"] < 0.1
    assert bad[READER] > 3 * good[READER]
