from pathlib import Path

import pytest

from tests.interchange.test_vdsp import CAFFE, IMAGENET, KERAS, SQUASHED
from xception.errors import InputError, UsageError
from xception.interchange import vamc


@pytest.mark.parametrize("preprocess", [SQUASHED, IMAGENET, CAFFE])
def test_a_configuration_comes_back_from_its_yaml(preprocess: object, tmp_path: Path) -> None:
    config = vamc.vamc_config(
        vamc.VamcBuild(preprocess=preprocess, name="a_int8", checkpoint="./a.onnx", calibration="/data/c a", images=50)
    )
    vamc.write_config(tmp_path / "a.yaml", config)
    found = vamc.read_config(tmp_path / "a.yaml")
    assert found == config
    assert vamc.vamc_preprocess(found) == preprocess


def test_a_configuration_has_the_compilers_keys(tmp_path: Path) -> None:
    config = vamc.vamc_config(
        vamc.VamcBuild(
            preprocess=CAFFE,
            name="a",
            checkpoint="a.h5",
            frontend="keras",
            input_name="input_1",
            calibration="c",
            images=5,
            softmax=False,
        )
    )
    assert list(config) == ["name", "frontend", "backend", "dataset", "workspace"]
    assert config["frontend"] == {
        "shape": {"input_1": [1, 3, 299, 299]},
        "type": "keras",
        "checkpoint": "a.h5",
        "dtype": "fp32",
    }
    vamc.write_config(tmp_path / "a.yaml", config)
    assert "div255: false" in (tmp_path / "a.yaml").read_text()
    with_softmax = vamc.vamc_config(
        vamc.VamcBuild(preprocess=SQUASHED, name="a", checkpoint="a.onnx", calibration="c", images=5)
    )
    assert with_softmax["graph"] == {"extra_ops": {"type": "softmax"}}
    vamc.write_config(tmp_path / "b.yaml", with_softmax)
    assert "div255" not in (tmp_path / "b.yaml").read_text()


def test_what_the_compiler_cannot_do_is_refused() -> None:
    with pytest.raises(UsageError, match="squash and a crop"):
        vamc.vamc_config(vamc.VamcBuild(preprocess=KERAS, name="a", checkpoint="a", calibration="c", images=1))


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "a: 1", "dataset: 1", "!!python/object/apply:os.system [true]"])
def test_another_file_is_refused_and_nothing_in_it_runs(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a\.yaml"):
        vamc.read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("operation", ["Resize", "CenterCrop", "Normalize"])
def test_a_configuration_without_one_of_its_operations_says_nothing(operation: str) -> None:
    config = dict(
        vamc.vamc_config(vamc.VamcBuild(preprocess=SQUASHED, name="a", checkpoint="a", calibration="c", images=1))
    )
    dataset = config["dataset"]
    assert isinstance(dataset, dict)
    dataset["process_ops"] = [row for row in dataset["process_ops"] if row["type"] != operation]
    with pytest.raises(InputError, match="does not say how"):
        vamc.vamc_preprocess(config)


@pytest.mark.parametrize(
    ("method", "mode"),
    [
        ("max", "max"),
        ("equalized", "max"),
        ("trained", "max"),
        ("percentile-99.9", "percentile"),
        ("entropy", "kl_divergence"),
        ("mse", "mse"),
    ],
)
def test_each_method_has_a_nearest_way_of_the_compiler(method: str, mode: str) -> None:
    assert vamc.nearest_calibrate_mode(method) == mode
