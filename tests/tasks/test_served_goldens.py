"""Servers that serve a bundle, and servers that serve something close to it."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.oip.test_conformance import Exchange, Spoilt, in_answers
from tests.serve.running import free_port, kept_open, opened, serving_app
from tests.test_proof import nudged, varied
from xception.bundle import Bundle
from xception.cli.app import run
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.labels import Labels
from xception.serve.app import application


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def weights(weights_bundle: Bundle, place: Path) -> Bundle:
    return varied(weights_bundle, place / "weights")


@pytest.fixture(scope="module")
def url(weights: Bundle, place: Path) -> Iterator[tuple[str, Spoilt]]:
    """A server of the model, and of what is close to it."""
    preprocess = msgspec.structs.replace(weights.model.preprocess, mean=(0.49, 0.5, 0.5))
    swapped = Labels(("bee", "ant", "cat", "dog", "eel", "fox", "gnu"))
    others = {
        "nudged": varied(weights, place / "nudged", nudged),
        "mean": varied(weights, place / "mean", preprocess=preprocess),
        "swapped": varied(weights, place / "swapped", labels=swapped),
    }
    bundles = {name: export_bundle(bundle, "onnx", place / f"{name}-onnx") for name, bundle in others.items()}
    bundles["small"] = export_bundle(weights, "onnx", place / "onnx")
    bundles["image"] = export_bundle(weights, "onnx", place / "image", options=GraphOptions(image_input=True))
    bundles["litert"] = export_bundle(weights, "litert", place / "litert")
    service = opened(bundles)
    app, port = Spoilt(kept_open(application(service))), free_port()
    with serving_app(app, port):
        yield f"http://127.0.0.1:{port}", app
    service.close()


def prove(url: str, weights: Bundle, *arguments: str) -> int:
    return run(["prove", url, "--as", str(weights.path), *arguments])


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("small", None),
        ("small", "pixels"),
        ("image", "images"),
        ("image", None),
        ("litert", "images"),
        ("litert", None),
    ],
)
def test_a_server_of_the_bundle_is_proven_by_images_and_by_tensors(
    name: str, tensor: str | None, url: tuple[str, Spoilt], weights: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--tensor", tensor] if tensor else []
    assert prove(url[0], weights, "--model", name, "--json", *chosen) == 0
    (proof,) = json.loads(capsys.readouterr().out)["proofs"]
    assert max(golden["relative_diff"] for golden in proof["goldens"]) <= 1e-5
    assert proof["lineage"][0]["verb"] == "serve"


@pytest.mark.parametrize(
    ("name", "words"),
    [("nudged", "differs by"), ("mean", "differs by"), ("swapped", "class 0 is called 'bee' instead of 'ant'")],
)
def test_a_server_of_something_close_is_not(
    name: str, words: str, url: tuple[str, Spoilt], weights: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prove(url[0], weights, "--model", name) == 1
    assert words in capsys.readouterr().err


def test_another_preprocessing_shows_only_by_images(url: tuple[str, Spoilt], weights: Bundle) -> None:
    assert prove(url[0], weights, "--model", "mean", "--tensor", "pixels") == 0


def test_a_server_that_tells_little_is_proven_too(url: tuple[str, Spoilt], weights: Bundle) -> None:
    """Another server: the outputs have names of its own, and there are no classifications and no digest."""

    def spoil(exchange: Exchange) -> None:
        if exchange.path.startswith("/v2/models/small") and exchange.method == "GET":
            exchange.change(_other_names)
        elif any("classification" in output.get("parameters", {}) for output in exchange.request.get("outputs", [])):
            exchange.status, exchange.reply = 400, b'{"error": "no"}'
        else:
            in_answers(lambda document: document["outputs"][0].update(name="scores"))(exchange)

    def unspoil(exchange: Exchange) -> None:
        exchange.sent = exchange.sent.replace(b'"scores"', b'"logits"')

    url[1].before, url[1].after = unspoil, spoil
    assert prove(url[0], weights, "--model", "small") == 0
    url[1].before = url[1].after = None


def _other_names(document: dict) -> None:
    del document["parameters"]
    document["outputs"] = [{"name": "scores", "datatype": "FP32", "shape": [-1, 7]}]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "none"], 3, "refuses the model 'none' with 404"),
        (["--model", "small", "--tensor", "x"], 2, "unknown input 'x'"),
        (["--model", "small", "--tensor", "images", "--computed-in", "float16"], 0, "is"),
    ],
)
def test_what_cannot_be_proven_is_said(
    arguments: list[str],
    code: int,
    words: str,
    url: tuple[str, Spoilt],
    weights: Bundle,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert prove(url[0], weights, *arguments) == code
    assert words in capsys.readouterr().err


def test_goldens_are_sent_one_by_one_as_they_are(url: tuple[str, Spoilt], weights: Bundle) -> None:
    seen: list[dict] = []
    url[1].before = lambda exchange: seen.append(exchange.request)
    assert prove(url[0], weights, "--model", "small") == 0
    url[1].before = None
    shapes = [request["inputs"][0]["shape"] for request in seen if request.get("inputs")]
    assert shapes == [[1]] * 4  # three goldens, and one more for the names of the classes
