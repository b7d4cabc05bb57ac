import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from tests.export.test_onnx import difference, pixels, preprocess
from tests.support.samples import drawn_tensors
from xception.arch.spec import Architecture, with_output_stride
from xception.arch.variants import VARIANTS, architecture
from xception.errors import UsageError
from xception.export.litert import litert_files
from xception.export.program import GraphOptions, program
from xception.models.network import build

TOLERANCE = 2e-5


def model(spec: Architecture, options: GraphOptions | None = None) -> bytes:
    return litert_files(program(spec, drawn_tensors(spec), preprocess(spec), options, "nhwc"))["model.tflite"]


def outputs(content: bytes, values: np.ndarray) -> dict[str, np.ndarray]:
    interpreter = Interpreter(model_content=content, num_threads=1)
    (source,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(source["index"], values.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    return {port["name"]: interpreter.get_tensor(port["index"]) for port in interpreter.get_output_details()}


def reference(spec: Architecture, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return build(spec, drawn_tensors(spec)).eval().double()(torch.from_numpy(x).double()).numpy()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_file_computes_the_network_at_every_size(name: str) -> None:
    spec = architecture(name, width=0.05, num_classes=6)
    content = model(spec, GraphOptions(free_size=True))
    for sides in ((64, 65), (49, 50)):
        x = pixels(spec, *sides)
        assert difference(outputs(content, x.transpose(0, 2, 3, 1))["logits"], reference(spec, x)) <= TOLERANCE


def test_dilated_networks_are_written_too() -> None:
    spec = with_output_stride(architecture("timm_xception41", width=0.05), 8)
    x = pixels(spec)
    assert difference(outputs(model(spec), x.transpose(0, 2, 3, 1))["logits"], reference(spec, x)) <= TOLERANCE


def test_the_comparison_would_notice_another_padding() -> None:
    ours, theirs = (architecture(name, width=0.05) for name in ("mindcv_xception", "timm_xception"))
    x = pixels(ours)
    assert difference(outputs(model(ours), x.transpose(0, 2, 3, 1))["logits"], reference(theirs, x)) > 1e-3


def test_images_go_in_and_probabilities_ranks_and_maps_come_out() -> None:
    spec = architecture("big_xception", width=0.05, num_classes=6)
    content = model(spec, GraphOptions(image_input=True, probabilities=True, top_k=2, class_maps=True))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 65, spec.in_channels), np.uint8)
    found = outputs(content, images)
    x = preprocess(spec).normalize(images.transpose(0, 3, 1, 2))
    with torch.inference_mode():
        maps = build(spec, drawn_tensors(spec)).eval().class_maps(torch.from_numpy(x)).numpy()
    assert difference(found["class_maps"], maps) <= 1e-5
    order = np.argsort(-found["probabilities"], axis=1)[:, :2]
    assert np.array_equal(found["top_indices"], order)
    assert np.array_equal(found["top_values"], np.take_along_axis(found["probabilities"], order, 1))


def test_half_precision_stores_weights_in_half() -> None:
    spec = architecture("ppcls_xception41", width=0.1, num_classes=6)
    content, x = model(spec, GraphOptions(precision="float16")), pixels(spec)
    assert len(content) < 0.65 * len(model(spec))
    assert TOLERANCE < difference(outputs(content, x.transpose(0, 2, 3, 1))["logits"], reference(spec, x)) < 2e-2


def test_weights_beyond_half_precision_are_refused() -> None:
    spec = architecture("mini_xception", width=0.5)
    tensors = drawn_tensors(spec)
    tensors["stem.0.conv.weight"] *= 1e6
    made = program(spec, tensors, preprocess(spec), GraphOptions(precision="float16"), "nhwc")
    with pytest.raises(UsageError, match=r"stem\.0\.conv\.weight has values that float16 cannot hold"):
        litert_files(made)


def test_the_file_announces_its_names_and_signature() -> None:
    spec = architecture("mini_xception", width=0.5)
    interpreter = Interpreter(
        model_content=model(spec, GraphOptions(fixed_batch=3, input_name="face", output_name="mood"))
    )
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["face"], "outputs": ["mood"]}}
    (source,) = interpreter.get_input_details()
    assert (source["name"], source["shape_signature"].tolist()) == ("face", [3, 64, 65, 1])


def test_the_same_network_gives_the_same_bytes() -> None:
    spec = architecture("mini_xception", width=0.5)
    assert model(spec) == model(spec)
