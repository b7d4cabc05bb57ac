"""Triton's own client, every call that is not about loading models."""

import numpy as np
import pytest
import tritonclient.http as triton
from conftest import Served
from tritonclient.utils import InferenceServerException


@pytest.fixture
def client(served: Served) -> triton.InferenceServerClient:
    with triton.InferenceServerClient(served.host) as found:
        yield found


def images(served: Served) -> triton.InferInput:
    files = np.array([path.read_bytes() for path in served.photos], object)
    given = triton.InferInput("images", [len(files)], "BYTES")
    given.set_data_from_numpy(files, binary_data=True)
    return given


def pixels(served: Served, *, binary: bool) -> triton.InferInput:
    given = triton.InferInput("pixels", list(served.pixels.shape), "FP32")
    given.set_data_from_numpy(served.pixels, binary_data=binary)
    return given


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("digits")
    (version,) = metadata["versions"]
    assert client.is_model_ready("digits", version)
    assert client.get_model_metadata("digits", version) == metadata


@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("sent", ["images", "pixels", "pixels in JSON"])
def test_logits_are_those_of_predict(
    sent: str, binary_out: bool, client: triton.InferenceServerClient, served: Served
) -> None:
    given = images(served) if sent == "images" else pixels(served, binary=sent == "pixels")
    wanted = [triton.InferRequestedOutput("logits", binary_data=binary_out)]
    found = client.infer("digits", [given], outputs=wanted, request_id="a-1")
    np.testing.assert_allclose(found.as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)
    assert found.get_response()["id"] == "a-1"


def test_all_outputs_come_where_none_is_named(client: triton.InferenceServerClient, served: Served) -> None:
    found = client.infer("digits", [images(served)])
    assert found.as_numpy("class_maps").shape == (8, 10, 2, 2)
    assert [row[0].decode() for row in found.as_numpy("labels")] == list(served.labels)


def test_the_classification_names_the_labels_of_predict(client: triton.InferenceServerClient, served: Served) -> None:
    wanted = [triton.InferRequestedOutput("probabilities", class_count=3)]
    rows = client.infer("digits", [images(served)], outputs=wanted).as_numpy("probabilities")
    assert [row[0].decode().split(":")[2] for row in rows] == list(served.labels)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_requests_may_be_compressed(coding: str, client: triton.InferenceServerClient, served: Served) -> None:
    found = client.infer("digits", [images(served)], request_compression_algorithm=coding)
    np.testing.assert_allclose(found.as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)


def test_requests_may_run_at_the_same_time(served: Served) -> None:
    with triton.InferenceServerClient(served.host, concurrency=8) as client:
        asked = [client.async_infer("digits", [images(served)]) for _ in range(32)]
        for one in asked:
            np.testing.assert_allclose(one.get_result().as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)


def test_failures_are_told_in_the_servers_words(client: triton.InferenceServerClient, served: Served) -> None:
    with pytest.raises(InferenceServerException, match="no model 'none'"):
        client.get_model_metadata("none")
    with pytest.raises(InferenceServerException, match="deadline"):
        client.infer("digits", [images(served)], timeout=1)
    with pytest.raises(InferenceServerException, match="not honoured"):
        client.infer("digits", [images(served)], sequence_id=5, sequence_start=True)
    with pytest.raises(InferenceServerException, match="nothing at"):
        client.get_model_repository_index()
