"""The service over HTTP, as its clients find it."""

import base64
import gzip
import io
import json
import socket
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serve.running import Reply, Running, opened, running
from tests.support.hostile_photos import bomb
from tests.support.samples import HANG_S, encoded, picture
from xception.bundle import Bundle
from xception.data.folder import as_items
from xception.metrics import probabilities
from xception.oip.tensors import HEADER_LENGTH, parse_response
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Scored
from xception.serve.app import Api
from xception.serve.limits import Limits
from xception.serve.measures import Measures

INFER = "/v2/models/digits/infer"


def logits_of(bundle: Bundle, files: list[Path]) -> np.ndarray:
    """The answers of the engine that `xception predict` uses."""
    with Engine.open(bundle) as engine:
        return np.stack([outcome.logits for outcome in engine.stream(as_items(files)) if isinstance(outcome, Scored)])


def pixels_of(bundle: Bundle, files: list[Path]) -> np.ndarray:
    return np.stack([bundle.model.preprocess(Image.open(path)) for path in files])


def tensor(name: str, values: Any, shape: list[int], datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": values, **more}


def binary_images(files: list[bytes], **document: Any) -> tuple[bytes, dict[str, str]]:
    """A request of encoded images as raw bytes, and its headers."""
    raw = b"".join(len(data).to_bytes(4, "little") + data for data in files)
    images = {
        "name": "images",
        "shape": [len(files)],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [images], **document}).encode()
    return head + raw, {HEADER_LENGTH: str(len(head))}


def outputs(reply: Reply) -> dict[str, np.ndarray]:
    assert reply.status == 200, reply.body
    return parse_response(reply.body, reply.headers.get(HEADER_LENGTH.lower()))[1]


def ask_for(*names: str, **parameters: Any) -> list[dict[str, Any]]:
    return [{"name": name, "parameters": parameters} for name in names]


def test_the_server_and_its_models_are_described(server: Running) -> None:
    assert server.get("/v2").json["name"] == "xception"
    assert server.get("/v2/health/live").json == {"live": True}
    assert server.get("/v2/health/ready").json == {"live": True, "ready": True}
    described = server.get("/v2/models/digits").json
    assert [(part["name"], part["datatype"], part["shape"]) for part in described["inputs"]] == [
        ("pixels", "FP32", [-1, 1, 32, 32]),
        ("images", "BYTES", [-1]),
    ]
    assert [(part["name"], part["shape"]) for part in described["outputs"]] == [
        ("logits", [-1, 10]),
        ("probabilities", [-1, 10]),
        ("labels", [-1, 5]),
        ("class_maps", [-1, 10, 2, 2]),
    ]
    (version,) = described["versions"]
    assert server.get(f"/v2/models/digits/versions/{version}").json == described
    for path in ("/v2/models/digits/ready", f"/v2/models/digits/versions/{version}/ready"):
        assert server.get(path).json == {"name": "digits", "ready": True}


def test_a_server_that_is_about_to_end_says_so_and_still_answers(server: Running, digit_files: list[Path]) -> None:
    server.service.leaving.set()
    try:
        ready = server.get("/v2/health/ready")
        answered = server.post("/v1/classify?model=digits", digit_files[0].read_bytes())
    finally:
        server.service.leaving.clear()
    assert (ready.status, ready.json, answered.status) == (503, {"live": True, "ready": False}, 200)
    assert server.get("/v2/health/ready").status == 200


def test_four_encodings_give_the_logits_of_predict(server: Running, mapped: Bundle, digit_files: list[Path]) -> None:
    expected = logits_of(mapped, digit_files)
    pixels, files = pixels_of(mapped, digit_files), [path.read_bytes() for path in digit_files]
    wanted = ask_for("logits", binary_data=True)
    raw = pixels.tobytes()
    stated = {
        "name": "pixels",
        "shape": list(pixels.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [stated], "outputs": wanted}).encode()
    image_body, image_headers = binary_images(files, outputs=wanted)
    replies = {
        "flat": server.post(
            INFER, {"inputs": [tensor("pixels", pixels.ravel().tolist(), list(pixels.shape))], "outputs": wanted}
        ),
        "nested": server.post(
            INFER, {"inputs": [tensor("pixels", pixels.tolist(), list(pixels.shape))], "outputs": wanted}
        ),
        "raw": server.ask("POST", INFER, head + raw, {HEADER_LENGTH: str(len(head))}),
        "images": server.ask("POST", INFER, image_body, image_headers),
    }
    for name, reply in replies.items():
        np.testing.assert_allclose(outputs(reply)["logits"], expected, rtol=1e-5, atol=1e-5, err_msg=name)


def test_an_answer_in_json_holds_the_same_numbers_as_raw_bytes(server: Running, digit_files: list[Path]) -> None:
    body, headers = binary_images([digit_files[0].read_bytes()])
    found = outputs(server.ask("POST", INFER, body, headers))
    body, headers = binary_images([digit_files[0].read_bytes()], parameters={"binary_data_output": True})
    raw = outputs(server.ask("POST", INFER, body, headers))
    assert set(found) == {"logits", "probabilities", "labels", "class_maps"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, raw[name])
    np.testing.assert_allclose(found["probabilities"], probabilities(found["logits"], "softmax"), rtol=1e-6)
    np.testing.assert_allclose(found["class_maps"].mean(axis=(2, 3)), found["logits"], atol=1e-4)
    assert found["labels"][0, 0] == str(found["logits"].argmax()).encode()


def test_the_classification_of_an_output_names_its_likeliest_classes(server: Running, digit_files: list[Path]) -> None:
    body, headers = binary_images(
        [path.read_bytes() for path in digit_files[:2]], outputs=ask_for("probabilities", classification=3)
    )
    found = outputs(server.ask("POST", INFER, body, headers))["probabilities"]
    assert found.shape == (2, 3)
    value, index, label = found[0, 0].decode().split(":")
    assert (index, 0 < float(value) <= 1) == (label, True)


def test_an_answer_says_which_model_and_preprocessing_gave_it(
    server: Running, mapped: Bundle, digit_files: list[Path]
) -> None:
    body, headers = binary_images([digit_files[0].read_bytes()], id="a \u00fc")
    reply = server.ask("POST", INFER, body, headers | {"X-Request-Id": "mine-7"})
    document = reply.json
    digest = mapped.model.digest
    assert (document["id"], document["model_name"], document["model_version"]) == ("a \u00fc", "digits", digest[:12])
    assert document["parameters"]["model_digest"] == digest
    assert reply.headers["x-xception-model"] == f"digits@{digest}"
    assert reply.headers["x-xception-preprocess"] == document["parameters"]["preprocess_id"]
    assert reply.headers["x-request-id"] == "mine-7"
    failure = server.post(INFER, {"inputs": []})
    assert failure.headers["x-xception-model"] == f"digits@{digest}"
    assert len(failure.headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "no inference request"),
        ({"inputs": []}, "the inputs are none"),
        ({"inputs": [tensor("x", [1], [1])]}, "expected one, 'pixels' or 'images'"),
        ({"inputs": [tensor("pixels", [0.0] * 4, [1, 1, 2, 2])]}, "expected FP32 of the shape"),
        ({"inputs": [tensor("pixels", [0.0] * 1024, [1024])]}, "expected FP32 of the shape"),
        ({"inputs": [tensor("pixels", [0] * 1024, [1, 1, 32, 32], "INT32")]}, "expected FP32 of the shape"),
        ({"inputs": [tensor("pixels", [], [0, 1, 32, 32])]}, "any number from 1"),
        ({"inputs": [tensor("images", [], [0], "BYTES")]}, "any number from 1"),
        ({"inputs": [tensor("images", ["a"], [1], "BYTES")], "outputs": [{"name": "scores"}]}, "no output 'scores'"),
        (
            {"inputs": [tensor("images", ["a"], [1], "BYTES")], "outputs": ask_for("logits", "logits")},
            "asked for twice",
        ),
        (
            {"inputs": [tensor("images", ["a"], [1], "BYTES")], "outputs": ask_for("class_maps", classification=1)},
            "no classes",
        ),
        (
            {"inputs": [tensor("images", ["a"], [1], "BYTES")], "outputs": ask_for("logits", classification="two")},
            "number of classes",
        ),
        ({"inputs": [tensor("images", ["a"], [1], "BYTES")], "parameters": {"timeout": -1}}, "microseconds"),
        ({"inputs": [tensor("images", ["a"], [1], "BYTES")], "parameters": {"partial": 1}}, "true or false"),
        ({"inputs": [tensor("images", ["a"], [1], "BYTES")], "parameters": {"sequence_id": 5}}, "not honoured"),
        (
            {"inputs": [tensor("images", ["a"], [1], "BYTES")], "parameters": {"pixels": "blurred"}},
            "expected reference",
        ),
        ({"inputs": [tensor("images", ["a"], [1], "BYTES")], "id": "i" * 257}, "at most 256"),
        ({"inputs": [tensor("images", ["a"], [1], "BYTES")]}, "not an image file"),
    ],
)
def test_a_request_that_is_wrong_is_told_why(body: Any, words: str, server: Running) -> None:
    reply = server.post(INFER, body)
    assert (reply.status, words in reply.error) == (400, True), reply.error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/digits/versions/2", 404),
        ("POST", "/v2/models/none/infer", 404),
        ("POST", "/v2/models/digits/versions/2/infer", 404),
        ("POST", "/v1/classify?model=none", 404),
        ("POST", "/v1/classify", 404),
        ("GET", "/v2/models/digits/nothing", 404),
        ("GET", "/v2/../etc/passwd", 404),
        ("GET", "/v2/models/digits/infer", 405),
        ("POST", "/v2/health/live", 405),
        ("DELETE", "/v2/models/digits", 405),
        ("GET", "/v1/classify", 405),
        ("TRACE", "/v2", 405),
    ],
)
def test_every_failure_is_an_error_in_json(method: str, path: str, status: int, server: Running) -> None:
    reply = server.ask(method, path, b"" if method == "POST" else None)
    assert (reply.status, len(reply.error) > 10) == (status, True)


@pytest.mark.parametrize(
    ("method", "path", "extension"),
    [
        ("GET", "/v2/models/stats", "statistics"),
        ("GET", "/v2/models/digits/stats", "statistics"),
        ("GET", "/v2/models/digits/versions/1/stats", "statistics"),
        ("GET", "/v2/models/digits/config", "model_configuration"),
        ("GET", "/v2/models/digits/versions/1/config", "model_configuration"),
        ("POST", "/v2/repository/index", "model_repository"),
        ("POST", "/v2/repository/models/digits/load", "model_repository"),
        ("POST", "/v2/models/digits/generate", "generate"),
        ("GET", "/v2/models/digits/trace/setting", "trace"),
        ("GET", "/v2/trace/setting", "trace"),
        ("GET", "/v2/logging", "logging"),
        ("GET", "/v2/systemsharedmemory/status", "system_shared_memory"),
        ("GET", "/v2/cudasharedmemory/region/a/status", "cuda_shared_memory"),
    ],
)
def test_an_extension_that_is_not_there_is_called_that(method: str, path: str, extension: str, server: Running) -> None:
    reply = server.ask(method, path, b"" if method == "POST" else None)
    assert reply.status == 404
    assert f"does not have the extension {extension!r}" in reply.error
    assert extension not in server.get("/v2").json["extensions"]


def test_a_model_may_have_the_name_of_an_extension(server: Running) -> None:
    named = replace(server.service, models={"stats": server.service.models["digits"]})
    with running(named, closes=False) as other:
        assert other.get("/v2/models/stats").json["name"] == "digits"


def test_keys_that_clients_add_and_unknown_parameters_are_tolerated(server: Running, digit_files: list[Path]) -> None:
    body, headers = binary_images(
        [digit_files[0].read_bytes()], model_name="digits", parameters={"priority": 3, "timeout": 5_000_000}
    )
    assert server.ask("POST", INFER, body, headers).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_may_be_compressed(coding: str, server: Running, digit_files: list[Path]) -> None:
    body, headers = binary_images([digit_files[0].read_bytes()])
    sent = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    assert server.ask("POST", INFER, sent, headers | {"Content-Encoding": coding}).status == 200
    broken = server.ask("POST", INFER, sent[:-5], headers | {"Content-Encoding": coding})
    assert (broken.status, coding in broken.error) == (400, True)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (INFER, {"Content-Encoding": "br"}),
        (INFER, {"Content-Type": "text/xml"}),
        (INFER, {"Content-Type": "image/jpeg"}),
        ("/v1/classify?model=digits", {"Content-Type": "application/json"}),
    ],
)
def test_what_is_not_taken_is_refused_by_its_type(path: str, headers: dict[str, str], server: Running) -> None:
    assert server.ask("POST", path, b"{}", headers).status == 415


def test_one_bad_image_among_eight_leaves_seven_as_they_are_by_themselves(
    server: Running, digit_files: list[Path]
) -> None:
    files = [path.read_bytes() for path in digit_files]
    alone = [outputs(server.ask("POST", INFER, *binary_images([data])))["logits"][0] for data in files]
    files[3] = b"broken"
    refused = server.ask("POST", INFER, *binary_images(files))
    assert (refused.status, "1 of 8 images cannot be used (3)" in refused.error) == (400, True)
    found = outputs(server.ask("POST", INFER, *binary_images(files, parameters={"partial": True})))
    for place in set(range(8)) - {3}:
        np.testing.assert_allclose(found["logits"][place], alone[place], rtol=1e-5, atol=1e-5)
        assert found["error"][place] == b""
    assert b"not an image file" in found["error"][3]
    assert not found["logits"][3].any()
    assert not found["probabilities"][3].any()
    assert not any(found["labels"][3])


def form(*files: bytes, boundary: str = "b0undary") -> tuple[bytes, dict[str, str]]:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="<img onerror=a()>.png"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for data in files
    ]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_classify_takes_a_photo_as_it_is(server: Running, mapped: Bundle, digit_files: list[Path]) -> None:
    reply = server.post("/v1/classify?model=digits&top=3&maps=1&seen=1", digit_files[0].read_bytes())
    document = reply.json
    (result,) = document["results"]
    logits = logits_of(mapped, digit_files[:1])[0]
    assert [guess["index"] for guess in result["top"]] == list(np.argsort(-logits, kind="stable")[:3])
    assert result["top"][0]["logit"] == pytest.approx(float(logits.max()), rel=1e-5)
    assert (document["seen"], document["failed"], document["digest"]) == (1, 0, mapped.model.digest)
    assert set(result["timing_ms"]) == {"queue", "preprocess", "infer", "batch"}
    assert np.shape(result["class_map"]["rows"]) == (2, 2)
    with Image.open(io.BytesIO(base64.b64decode(result["seen_png"]))) as seen:
        assert (seen.size, seen.mode) == ((32, 32), "L")


@pytest.mark.parametrize("threshold", [0.001, 0.999999])
def test_classify_gives_all_classes_from_a_threshold_on(
    threshold: float, server: Running, mapped: Bundle, digit_files: list[Path]
) -> None:
    reply = server.post(f"/v1/classify?model=digits&threshold={threshold}&maps=1", digit_files[0].read_bytes())
    (result,) = reply.json["results"]
    known = probabilities(logits_of(mapped, digit_files[:1]), "softmax")[0]
    assert {guess["index"] for guess in result.get("top", ())} == set(np.flatnonzero(known >= threshold))
    assert ("class_map" in result) == ("top" in result)


def test_classify_takes_many_photos_and_answers_each(server: Running, digit_files: list[Path]) -> None:
    body, headers = form(digit_files[0].read_bytes(), b"broken", digit_files[1].read_bytes())
    document = server.ask("POST", "/v1/classify?model=digits", body, headers).json
    assert (document["seen"], document["failed"]) == (2, 1)
    assert ["top" in result for result in document["results"]] == [True, False, True]
    assert document["results"][1]["status"] == 400
    assert b"onerror" not in json.dumps(document).encode()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"broken", {}, 400),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}, 400),
        (*form(), 400),
        (form(b"x")[0][:-20], form()[1], 400),
        (b"x", {"Content-Type": "multipart/form-data"}, 400),
        (b"x", {"Content-Type": "multipart/form-data; boundary=b"}, 400),
        (*form(*[b"x"] * 65), 413),
    ],
)
def test_classify_says_what_is_wrong(body: bytes, headers: dict[str, str], status: int, server: Running) -> None:
    reply = server.ask("POST", "/v1/classify?model=digits", body, headers)
    assert (reply.status, len(reply.error) > 10) == (status, True)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_photos_of_the_usual_formats_are_taken(file_format: str, server: Running) -> None:
    assert server.post("/v1/classify?model=small", encoded(picture(), file_format)).status == 200


@pytest.mark.parametrize(("mode", "file_format"), [("CMYK", "JPEG"), ("I;16", "PNG"), ("RGBA", "PNG"), ("1", "TIFF")])
def test_photos_in_unusual_colours_are_taken(mode: str, file_format: str, server: Running) -> None:
    image = Image.new(mode, (40, 30)) if mode == "I;16" else picture(mode="RGB").convert(mode)
    assert server.post("/v1/classify?model=small", encoded(image, file_format)).status == 200


def test_formats_of_other_kinds_are_not_decoded_for_strangers(server: Running) -> None:
    assert server.post("/v1/classify?model=small", encoded(picture(), "PCX")).status == 415


def test_an_image_of_too_many_pixels_is_refused_by_its_header(server: Running) -> None:
    reply = server.post("/v1/classify?model=small", bomb(9_000, 9_000))
    assert (reply.status, "9000 x 9000" in reply.error) == (413, True)
    assert server.post("/v1/classify?model=small", bomb(50_000, 50_000)).status == 413


@pytest.fixture(scope="module")
def narrow(onnx_bundle: Bundle) -> Any:
    """A server that takes little."""
    limits = Limits(max_body_mb=1, max_bodies_mb=1, max_images=2, body_timeout_s=0.3, header_timeout_s=0.3)
    with running(opened({"small": onnx_bundle}, limits), hosts=frozenset({"127.0.0.1"})) as found:
        yield found


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(narrow: Running) -> None:
    declared = narrow.ask("POST", "/v1/classify", b"x" * (2 << 20))
    chunked = narrow.ask("POST", "/v1/classify", iter([b"x" * (1 << 20)] * 2))
    inflated = narrow.post("/v1/classify", gzip.compress(bytes(50 << 20)), Content_Encoding="gzip")
    assert [reply.status for reply in (declared, chunked, inflated)] == [413, 413, 413]


def test_more_images_than_allowed_are_refused(narrow: Running) -> None:
    body, headers = binary_images([b"x"] * 3)
    assert narrow.ask("POST", "/v2/models/small/infer", body, headers).status == 413


def test_a_body_that_drips_is_cut_off(narrow: Running) -> None:
    reply = narrow.raw(b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nab")
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"the body took longer than 0.3 s" in reply


def test_headers_that_drip_are_cut_off(narrow: Running) -> None:
    assert narrow.raw(b"GET /v2 HTTP/1.1\r\nHos") == b""


def test_headers_that_are_too_large_are_refused(narrow: Running) -> None:
    reply = narrow.get("/v2", X_Long="x" * 40_000)
    assert (reply.status, "expected at most 32 KiB" in reply.error) == (431, True)
    assert b" 431 " in narrow.raw(b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")


def test_only_its_own_names_reach_a_server_of_one_machine(narrow: Running) -> None:
    assert narrow.get("/v2", Host="evil.example").status == 400
    assert narrow.get("/v2", Host=f"127.0.0.1:{narrow.port}").status == 200
    foreign = narrow.get("/v2", Origin="http://evil.example")
    own = narrow.get("/v2", Origin=f"http://127.0.0.1:{narrow.port}")
    assert (foreign.status, own.status) == (403, 200)


def test_a_deadline_that_cannot_be_kept_is_told(server: Running, digit_files: list[Path]) -> None:
    body, headers = binary_images([digit_files[0].read_bytes()], parameters={"timeout": 1})
    reply = server.ask("POST", INFER, body, headers)
    assert (reply.status, "deadline" in reply.error) == (504, True)


def test_a_client_that_leaves_costs_no_answer(server: Running, digit_files: list[Path]) -> None:
    body, headers = binary_images([path.read_bytes() for path in digit_files])
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=HANG_S) as connection:
            connection.sendall(request)
    assert server.ask("POST", INFER, body, headers).status == 200


def test_requests_at_the_same_time_get_their_own_answers(
    server: Running, mapped: Bundle, digit_files: list[Path]
) -> None:
    expected = logits_of(mapped, digit_files)

    def ask(number: int) -> np.ndarray:
        body, headers = binary_images([digit_files[number % 8].read_bytes()], outputs=ask_for("logits"))
        return outputs(server.ask("POST", INFER, body, headers))["logits"][0]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(64)))
    np.testing.assert_allclose(found, np.tile(expected, (8, 1)), rtol=1e-5, atol=1e-5)


def test_figures_are_counted_without_a_word_of_clients(server: Running, digit_files: list[Path]) -> None:
    server.post("/v1/classify?model=digits", digit_files[0].read_bytes())
    server.get("/v2/models/invented-name")
    text = server.get("/metrics").body.decode()
    for name in (
        'xception_requests_total{route="classify",status="200"}',
        'xception_images_total{model="digits"}',
        'xception_queue_seconds_bucket{le="0.001",model="digits"}',
        'xception_stage_seconds_total{model="digits",stage="infer"}',
        'xception_batch_images_bucket{le="1.0",model="digits"}',
        "xception_model_info{digest=",
        "process_resident_memory_bytes",
        'xception_refusals_total{reason="unknown"}',
    ):
        assert name in text, name
    assert "invented-name" not in text


def test_the_description_for_programs_names_every_path(server: Running) -> None:
    document = server.get("/openapi.json").json
    assert "/v2/models/{name}/versions/{version}/infer" in document["paths"]
    assert "Classified" in document["components"]["schemas"]
    routes = Api(server.service, Measures(server.service.models)).routes()
    offered = {route.path: (route.methods or set()) - {"HEAD"} for route in routes if route.name != "page"}
    del offered["/v2/"]  # the same as /v2
    assert offered == {path: {method.upper() for method in found} for path, found in document["paths"].items()}
    for path, operations in document["paths"].items():
        for method in operations:
            filled = path.replace("{name}", "digits").replace("{version}", server.service.models["digits"].version)
            assert (
                server.ask(method.upper(), filled, b"" if method == "post" else None).status != 404
                or "classify" in path
            )


def test_models_are_described_for_the_page(server: Running, mapped: Bundle) -> None:
    described = {model["name"]: model for model in server.get("/v1/models").json["models"]}
    assert set(described) == {"digits", "small"}
    assert described["digits"]["model"]["digest"] == mapped.model.digest
