from dataclasses import replace

import pytest

from tests.report.pages import sample
from xception.report.document import Report
from xception.report.html import render


@pytest.fixture(scope="session")
def report() -> Report:
    return sample()


@pytest.fixture(scope="session")
def html(report: Report) -> str:
    return render(report)


@pytest.fixture(scope="session")
def brief(report: Report) -> Report:
    """The sample with one form and without training, which is drawn in a fraction of the time."""
    return replace(report, forms=report.forms[:1], history=())
