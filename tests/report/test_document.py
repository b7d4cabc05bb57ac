from dataclasses import replace

import numpy as np
import pytest

from tests.report.pages import mistake
from xception.errors import UsageError
from xception.report.document import Report


def test_a_report_without_forms_is_refused(report: Report) -> None:
    with pytest.raises(UsageError, match="at least one form"):
        replace(report, forms=())


@pytest.mark.parametrize("class_map", [np.zeros(4), np.zeros((0, 3)), np.array([[0.0, np.nan]]), np.array([[np.inf]])])
def test_a_class_map_that_is_no_finite_picture_is_refused(class_map: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"'0003' .*\(H, W\)"):
        replace(mistake("0003"), class_map=class_map)
