"""Triton's own clients, over HTTP and over gRPC: every call that is not about loading models."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from conftest import Served
from tritonclient.utils import InferenceServerException


@pytest.fixture(params=[tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def triton(request: pytest.FixtureRequest) -> Any:
    """The client's module for one transport; both have the same classes."""
    return request.param


@pytest.fixture
def client(triton: Any, served: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(host(triton, served)) as found:
        yield found


@pytest.fixture
def http(served: Served) -> Iterator[tritonclient.http.InferenceServerClient]:
    with tritonclient.http.InferenceServerClient(served.host) as found:
        yield found


def host(triton: Any, served: Served) -> str:
    return served.grpc_host if triton is tritonclient.grpc else served.host


def images(triton: Any, served: Served) -> Any:
    given = triton.InferInput("images", [len(served.photos)], "BYTES")
    given.set_data_from_numpy(np.array([path.read_bytes() for path in served.photos], object))
    return given


def pixels(triton: Any, served: Served, **options: bool) -> Any:
    given = triton.InferInput("pixels", list(served.pixels.shape), "FP32")
    given.set_data_from_numpy(served.pixels, **options)
    return given


def test_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")


def test_metadata_over_http(http: tritonclient.http.InferenceServerClient) -> None:
    assert "binary_tensor_data" in http.get_server_metadata()["extensions"]
    metadata = http.get_model_metadata("digits")
    (version,) = metadata["versions"]
    assert http.is_model_ready("digits", version)
    assert http.get_model_metadata("digits", version) == metadata


def test_metadata_over_grpc(served: Served) -> None:
    with tritonclient.grpc.InferenceServerClient(served.grpc_host) as client:
        assert client.get_server_metadata().name == "xception"
        (version,) = client.get_model_metadata("digits").versions
        assert client.is_model_ready("digits", version)


@pytest.mark.parametrize("given", [images, pixels])
def test_logits_are_those_of_predict(given: Any, triton: Any, client: Any, served: Served) -> None:
    wanted = [triton.InferRequestedOutput("logits")]
    found = client.infer("digits", [given(triton, served)], outputs=wanted, request_id="a-1")
    np.testing.assert_allclose(found.as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("sent", ["images", "pixels", "pixels in JSON"])
def test_tensors_go_in_binary_and_in_json(
    sent: str, binary_out: bool, http: tritonclient.http.InferenceServerClient, served: Served
) -> None:
    triton = tritonclient.http
    given = images(triton, served) if sent == "images" else pixels(triton, served, binary_data=sent == "pixels")
    wanted = [triton.InferRequestedOutput("logits", binary_data=binary_out)]
    found = http.infer("digits", [given], outputs=wanted, request_id="a-1")
    np.testing.assert_allclose(found.as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)
    assert found.get_response()["id"] == "a-1"


def test_a_reply_over_grpc_has_the_requests_id_and_the_models_digest(served: Served) -> None:
    with tritonclient.grpc.InferenceServerClient(served.grpc_host) as client:
        reply = client.infer("digits", [pixels(tritonclient.grpc, served)], request_id="a-1").get_response()
    assert reply.id == "a-1"
    assert reply.parameters["model_digest"].string_param


def test_all_outputs_come_where_none_is_named(triton: Any, client: Any, served: Served) -> None:
    found = client.infer("digits", [images(triton, served)])
    assert found.as_numpy("class_maps").shape == (8, 10, 2, 2)
    assert [row[0].decode() for row in found.as_numpy("labels")] == list(served.labels)


def test_the_classification_names_the_labels_of_predict(triton: Any, client: Any, served: Served) -> None:
    wanted = [triton.InferRequestedOutput("probabilities", class_count=3)]
    rows = client.infer("digits", [images(triton, served)], outputs=wanted).as_numpy("probabilities")
    assert [row[0].decode().split(":")[2] for row in rows] == list(served.labels)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_requests_may_be_compressed(coding: str, http: tritonclient.http.InferenceServerClient, served: Served) -> None:
    found = http.infer("digits", [images(tritonclient.http, served)], request_compression_algorithm=coding)
    np.testing.assert_allclose(found.as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)


def test_requests_may_run_at_the_same_time(served: Served) -> None:
    given = images(tritonclient.http, served)
    with tritonclient.http.InferenceServerClient(served.host, concurrency=8) as client:
        asked = [client.async_infer("digits", [given]) for _ in range(32)]
        for one in asked:
            np.testing.assert_allclose(one.get_result().as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)


def test_failures_are_told_in_the_servers_words(triton: Any, client: Any, served: Served) -> None:
    with pytest.raises(InferenceServerException, match="no model 'none'"):
        client.get_model_metadata("none")
    with pytest.raises(InferenceServerException, match=r"deadline|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"):
        client.infer("digits", [images(triton, served)], timeout=1)
    with pytest.raises(InferenceServerException, match="not honoured"):
        client.infer("digits", [images(triton, served)], sequence_id=5, sequence_start=True)


def test_there_is_no_repository_to_load_models_from(http: tritonclient.http.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="does not have the extension"):
        http.get_model_repository_index()
