import numpy as np

from parity.ours import draw
from xception.arch.variants import architecture
from xception.convert.naming.rename import rename
from xception.convert.naming.schemes import NAMING_SCHEMES


def test_lucids_classifier_may_stand_behind_a_dropout_and_its_counters_have_an_axis() -> None:
    spec = architecture("timm_xception", width=0.05, num_classes=11)
    values = draw(spec, "lucid")
    saved = {name.replace("classifier.", "classifier.1."): value for name, value in values.items()}
    saved["bn1.num_batches_tracked"] = np.zeros((1,), np.int64)
    lucid = NAMING_SCHEMES["lucid"]
    found, expected = rename(saved, spec, lucid), rename(values, spec, lucid)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
