"""Certificates, with an interpreter that stands in for one with the framework: it runs the same network in NumPy."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.convert.checkpoints import drawn, hollow, write_keras, write_safetensors
from tests.support.lanes import slow_unless
from xception.arch.variants import VARIANTS
from xception.bundle import child, open_bundle
from xception.convert.conversion import Conversion, convert_checkpoint
from xception.convert.selection import WeightsChoice
from xception.errors import CheckFailed, EnvironmentFault, UsageError
from xception.tasks.certify import RELATIVE_TOLERANCE, SAMPLES, certify_conversion, sizes_px

ROOT = Path(__file__).parents[2]

FRAMEWORK = """#!{python}
import argparse, json, sys
sys.path[:0] = [{root!r}, {source!r}]
import numpy as np
from tests.support.numpy_forward import forward
from xception.convert.conversion import convert_checkpoint
from xception.convert.selection import WeightsChoice
from pathlib import Path
parser = argparse.ArgumentParser()
for name in ("source", "variant", "file", "pixels", "out", "container", "group", "prefix"):
    parser.add_argument("--" + name)
parser.add_argument("--leave-out", nargs="*", default=[])
given, _ = parser.parse_known_args(sys.argv[2:])
assert Path(sys.argv[1]).name == "logits.py" and given.source == "keras" and given.container == "keras_h5_weights"
converted = convert_checkpoint(Path(given.file), WeightsChoice(leave_out=given.leave_out))
spec, tensors = converted.model.network.architecture(), dict(converted.tensors)
{fault}
with np.load(given.pixels) as images:
    logits = {{name: forward(spec, tensors, images[name]) for name in images.files}}
np.savez(given.out, **logits, versions=json.dumps({{"keras": "3.0", "numpy": "2.0"}}))
"""


@pytest.fixture
def converted(tmp_path: Path) -> Conversion:
    return convert_checkpoint(write_keras(tmp_path / "model.h5", drawn("tiny_xception", width=1.0)))


def interpreter(folder: Path, fault: str = "") -> str:
    path = folder / "python"
    source = ROOT / "src"
    path.write_text(FRAMEWORK.format(python=sys.executable, root=str(ROOT), source=str(source), fault=fault))
    path.chmod(0o755)
    return str(path)


def test_a_conversion_that_agrees_is_certified(converted: Conversion, tmp_path: Path) -> None:
    certificate = certify_conversion(converted, python=interpreter(tmp_path)).model.certificate
    assert certificate is not None
    assert (certificate.source, certificate.versions) == ("keras", {"keras": "3.0", "numpy": "2.0"})
    assert certificate.sizes_px == (33, 48, 64)
    assert certificate.agreement.samples == 3 * SAMPLES
    assert 0 < certificate.agreement.relative_diff <= RELATIVE_TOLERANCE
    assert certificate.agreement.top1_agreement == 1


def test_a_network_of_one_size_is_certified_at_that_size(converted: Conversion, tmp_path: Path) -> None:
    python = interpreter(tmp_path, "given.sizes = ['48']")
    text = Path(python).read_text().replace("in images.files}", "in given.sizes}")
    Path(python).write_text(text)
    certificate = certify_conversion(converted, python=python).model.certificate
    assert certificate is not None
    assert (certificate.sizes_px, certificate.agreement.samples) == ((48,), SAMPLES)
    Path(python).write_text(text.replace("['48']", "[]"))
    with pytest.raises(UsageError, match=r"no certificate is measured at; .* 33 or 48 or 64"):
        certify_conversion(converted, python=python)


def test_the_model_s_own_size_is_among_those_of_the_certificate() -> None:
    assert sizes_px(VARIANTS["tiny_xception"], (100, 100)) == (33, 48, 64, 100)
    assert sizes_px(VARIANTS["tiny_xception"], (100, 90)) == sizes_px(VARIANTS["tiny_xception"]) == (33, 48, 64)


def test_an_embedding_is_certified_by_sources_that_give_some(tmp_path: Path) -> None:
    whole = write_keras(tmp_path / "model.h5", drawn("tiny_xception", width=1.0))
    with pytest.raises(UsageError, match="converted to something else"):
        certify_conversion(convert_checkpoint(whole, WeightsChoice(new_head=0)), python="python")
    paddle = drawn("ppcls_xception41")
    headless = {name: value for name, value in paddle.items() if "_exit_flow._out" not in name}
    file = write_safetensors(tmp_path / "file", headless)
    with pytest.raises(UsageError, match="the networks of paddle have no way to leave their classifier out"):
        certify_conversion(convert_checkpoint(file), python="python")


def test_the_certificate_is_written_and_belongs_to_these_weights_alone(converted: Conversion, tmp_path: Path) -> None:
    bundle = certify_conversion(converted, python=interpreter(tmp_path)).write(tmp_path / "out")
    assert open_bundle(tmp_path / "out", verify=True).model.certificate
    assert child(bundle, "train", {}).certificate is None


@pytest.mark.parametrize(
    "fault",
    slow_unless(
        lambda fault: "epsilon" in fault,
        [
            "from dataclasses import replace; spec = replace(spec, norm=replace(spec.norm, epsilon=1e-5))",
            "tensors['blocks.1.shortcut.norm.bias'] = tensors['blocks.1.shortcut.norm.bias'] + 1",
            "tensors['head.classifier.bias'] = tensors['head.classifier.bias'] + np.float32('nan')",
        ],
    ),
)
def test_a_conversion_that_differs_is_refused(fault: str, converted: Conversion, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"as tiny_xception differs from keras 3\.0 by .*; nothing was written"):
        certify_conversion(converted, python=interpreter(tmp_path, fault))


def test_a_framework_that_fails_is_quoted(converted: Conversion, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="did not run the file: no such layer; check that"):
        certify_conversion(converted, python=interpreter(tmp_path, "sys.exit('no such layer')"))


def test_an_interpreter_that_is_not_there_is_told(converted: Conversion, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"nowhere cannot be run \(No such file"):
        certify_conversion(converted, python=str(tmp_path / "nowhere"))


def test_an_interpreter_is_needed(converted: Conversion) -> None:
    with pytest.raises(UsageError, match="pass an interpreter that has it as --upstream-python"):
        certify_conversion(converted, python=None)


def test_code_that_is_in_no_package_is_needed(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("ppcls_xception41"))
    with pytest.raises(UsageError, match="pass a checkout of its repository as --upstream-code"):
        certify_conversion(convert_checkpoint(file), python="python")


def test_networks_that_no_framework_runs_are_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", hollow("tfslim", "timm_xception41", width=0.125))
    with pytest.raises(UsageError, match="no framework that is run here has the networks of tfslim"):
        certify_conversion(convert_checkpoint(file), python="python")


@pytest.mark.parametrize("choice", [WeightsChoice(variant="keras_xception"), WeightsChoice(new_head=7)])
def test_what_is_no_longer_the_file_s_network_is_refused(choice: WeightsChoice, tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception"))
    with pytest.raises(UsageError, match="is converted to something else than the timm_xception that is in it"):
        certify_conversion(convert_checkpoint(file, choice), python="python")


@pytest.mark.parametrize("variant", VARIANTS)
def test_sizes_are_odd_and_even(variant: str) -> None:
    sizes = sizes_px(VARIANTS[variant])
    assert {px % 2 for px in sizes} == {0, 1}
    assert VARIANTS[variant].input_px in sizes


def test_choices_reach_the_framework(tmp_path: Path) -> None:
    values = drawn("tiny_xception", width=1.0) | {"criterion/weight": np.zeros(1, np.float32)}
    found = convert_checkpoint(write_keras(tmp_path / "model.h5", values), WeightsChoice(leave_out=("criterion/*",)))
    assert certify_conversion(found, python=interpreter(tmp_path)).model.certificate
