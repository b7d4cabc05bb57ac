import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.interchange.readers import read_ascend_input, read_info
from tests.support.samples import CLASSES
from xception.export.packs import verify
from xception.interchange import ascend


def test_every_graph_is_as_the_compiler_needs_it(packs: dict[str, Path]) -> None:
    files = sorted((packs["ascend"] / "onnx").iterdir(), key=lambda path: int(path.stem.rpartition("bs")[2]))
    assert [path.name for path in files] == [f"small_bs{batch}.onnx" for batch in (1, 4, 8, 16, 32)]
    for path, batch in zip(files, (1, 4, 8, 16, 32), strict=True):
        model = onnx.load(path)
        assert [entry.version for entry in model.opset_import] == [11]
        (source,), (result,) = model.graph.input, model.graph.output
        assert (source.name, result.name) == ("image", "class")
        assert [axis.dim_value for axis in source.type.tensor_type.shape.dim] == [batch, 3, 32, 32]


def test_the_graph_gives_the_goldens_of_the_prepared_inputs(
    packs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packs["ascend"]
    session = onnxruntime.InferenceSession(pack / "onnx" / "small_bs1.onnx")
    rows = read_info(pack / "inputs.info")
    assert len(rows) == 14
    for row in rows:
        pixels = read_ascend_input(pack / row.path, (3, row.height_px, row.width_px))
        (logits,) = session.run(["class"], {"image": pixels[None]})
        logits.tofile(tmp_path / f"{Path(row.path).stem}_1.bin")
    verify.check_results(pack, verify.check_pack(pack), tmp_path, 1.0)
    assert "100.00% of 14 inputs" in capsys.readouterr().out


def test_aipp_makes_of_the_8_bit_inputs_what_the_float_ones_are(packs: dict[str, Path]) -> None:
    pack = packs["ascend"]
    config = dict(
        line.replace(" ", "").split(":") for line in (pack / "aipp.cfg").read_text().splitlines() if ":" in line
    )
    assert (config["input_format"], config["src_image_size_w"]) == ("RGB888_U8", "32")
    for name in json.loads((pack / "pack.json").read_bytes())["inputs"]["names"]:
        image = np.fromfile(pack / "inputs_uint8" / f"{name}.bin", np.uint8).reshape(32, 32, 3)
        pixels = [
            (image[:, :, c] - float(config[f"mean_chn_{c}"]) - float(config[f"min_chn_{c}"]))
            * float(config[f"var_reci_chn_{c}"])
            for c in range(3)
        ]
        assert np.abs(pixels - read_ascend_input(pack / "inputs" / f"{name}.bin", (3, 32, 32))).max() < 1e-6


def test_the_pack_holds_labels_calibration_and_commands(packs: dict[str, Path]) -> None:
    pack = packs["ascend"]
    assert (pack / "labels" / "names.txt").read_text().split() == list(CLASSES)
    known = ascend.read_ascend_label_file(pack / "labels" / "val_label.txt")
    assert sorted(known.values()) == sorted([*range(7), *range(7)])
    assert len(list((pack / "calibration").glob("*.bin"))) == 21
    script = (pack / "compile.sh").read_text()
    assert '--input_shape="image:32,3,32,32" --log=error --soc_version="$soc" $aipp' in script
    assert script.count("atc --framework=5 --model=onnx/") == 5
    manifest = json.loads((pack / "pack.json").read_bytes())
    assert manifest["inputs"]["unreadable"] == ["ant/broken.png"]
    expected = manifest["expected"]["photos"]
    assert (expected["total"], expected["seen"], expected["failed"]) == (15, 14, 1)
    assert manifest["agreement"]["onnx/small_bs4.onnx"]["relative_diff"] < 1e-5
