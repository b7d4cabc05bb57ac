import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from tests.identity.described import NAMES
from xception.backends.base import open_session, run_in_batches
from xception.backends.validity import check_files
from xception.bundle import Bundle, write_bundle
from xception.forms import FORMS, Form
from xception.identity.identity import identity_of, read_identity, with_identity, writes_identity
from xception.labels import Labels
from xception.tasks.agreement import probe_pixels

NAMED = tuple(form for form, facts in FORMS.items() if facts.identity and facts.backends)


@pytest.fixture(params=NAMED)
def named(request: pytest.FixtureRequest, forms: dict[Form, Bundle], tmp_path: Path) -> Bundle:
    """A bundle in each form whose file says what it is."""
    plain = forms[request.param]
    model = msgspec.structs.replace(plain.model, passed_gate=True)
    files = {name: (plain.path / name).read_bytes() for name in FORMS[request.param].files}
    labels = Labels(NAMES)
    return write_bundle(tmp_path / "named", model, labels, with_identity(files, model, labels))


def test_a_file_by_itself_says_what_it_is(named: Bundle, tmp_path: Path) -> None:
    lone = tmp_path / "elsewhere" / f"renamed{named.main_file.suffix.upper()}"
    lone.parent.mkdir()
    shutil.copy(named.main_file, lone)
    found = read_identity(lone)
    assert found == identity_of(named.model, named.labels)
    assert found
    assert found.labels == named.labels
    assert found.model.preprocess == named.model.preprocess


def test_the_graph_stays_as_it_was(named: Bundle, forms: dict[Form, Bundle]) -> None:
    form = named.model.form
    check_files(form, {name: (named.path / name).read_bytes() for name in FORMS[form].files})
    pixels = probe_pixels(named, 3)
    ours, before = (run_in_batches(open_session(bundle), pixels, 3) for bundle in (named, forms[form]))
    assert np.array_equal(ours, before)


def test_the_same_description_gives_the_same_bytes(named: Bundle, forms: dict[Form, Bundle]) -> None:
    form = named.model.form
    files = {name: (forms[form].path / name).read_bytes() for name in FORMS[form].files}
    assert with_identity(files, named.model, named.labels)[FORMS[form].files[0]] == named.main_file.read_bytes()


def test_a_file_without_a_description_has_none(forms: dict[Form, Bundle], tmp_path: Path) -> None:
    for bundle in forms.values():
        assert read_identity(bundle.main_file) is None
        broken = tmp_path / f"broken{bundle.main_file.suffix}"
        broken.write_bytes(b"\x00broken")
        assert read_identity(broken) is None
    assert not writes_identity("mindir")


def test_a_description_of_another_form_is_none(forms: dict[Form, Bundle], tmp_path: Path) -> None:
    model = onnx.load(forms["onnx"].main_file)
    model.metadata_props.add(key="xception", value='{"model": 1}')
    onnx.save(model, tmp_path / "other.onnx")
    assert read_identity(tmp_path / "other.onnx") is None
