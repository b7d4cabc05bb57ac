from pathlib import Path

import pytest

from tests.train.samples import EPOCH
from xception.bundle import Bundle
from xception.cli import training_page
from xception.cli.training_page import write_page
from xception.errors import MissingExtra
from xception.train.logs import write_logs
from xception.train.storage import open_storage


@pytest.fixture
def run(tmp_path: Path) -> str:
    write_logs(open_storage(tmp_path), [EPOCH], 0.0)
    return str(tmp_path)


def test_the_page_lies_beside_the_bundle(run: str, weights_bundle: Bundle) -> None:
    assert write_page(weights_bundle, run, "fast") == f"{run}/report.html"
    assert "fast" in Path(run, "report.html").read_text()


def test_without_what_draws_it_there_is_a_sentence_and_no_page(
    run: str, weights_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: object) -> str:
        raise MissingExtra("jinja2", "report")

    monkeypatch.setattr(training_page, "render_training", missing)
    assert write_page(weights_bundle, run, "fast") is None
    assert "pip install 'xception[report]'" in capsys.readouterr().err
    assert not Path(run, "report.html").exists()
