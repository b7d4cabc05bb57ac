"""Triton's own client over gRPC."""

from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as triton
from conftest import Served
from tritonclient.utils import InferenceServerException


@pytest.fixture
def client(served: Served) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(served.grpc_host) as found:
        yield found


def images(served: Served) -> triton.InferInput:
    given = triton.InferInput("images", [len(served.photos)], "BYTES")
    given.set_data_from_numpy(np.array([path.read_bytes() for path in served.photos], object))
    return given


def pixels(served: Served) -> triton.InferInput:
    given = triton.InferInput("pixels", list(served.pixels.shape), "FP32")
    given.set_data_from_numpy(served.pixels)
    return given


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.get_server_metadata().name == "xception"
    (version,) = client.get_model_metadata("digits").versions
    assert client.is_model_ready("digits", version)


@pytest.mark.parametrize("given", [images, pixels])
def test_logits_are_those_of_predict(given: object, client: triton.InferenceServerClient, served: Served) -> None:
    wanted = [triton.InferRequestedOutput("logits")]
    found = client.infer("digits", [given(served)], outputs=wanted, request_id="a-1")
    np.testing.assert_allclose(found.as_numpy("logits"), served.logits, rtol=1e-5, atol=1e-5)
    assert found.get_response().id == "a-1"
    assert found.get_response().parameters["model_digest"].string_param


def test_all_outputs_come_where_none_is_named(client: triton.InferenceServerClient, served: Served) -> None:
    found = client.infer("digits", [images(served)])
    assert found.as_numpy("class_maps").shape == (8, 10, 2, 2)
    assert [row[0].decode() for row in found.as_numpy("labels")] == list(served.labels)


def test_the_classification_names_the_labels_of_predict(client: triton.InferenceServerClient, served: Served) -> None:
    wanted = [triton.InferRequestedOutput("probabilities", class_count=3)]
    rows = client.infer("digits", [images(served)], outputs=wanted).as_numpy("probabilities")
    assert [row[0].decode().split(":")[2] for row in rows] == list(served.labels)


def test_failures_are_told_in_the_servers_words(client: triton.InferenceServerClient, served: Served) -> None:
    with pytest.raises(InferenceServerException, match="no model 'none'"):
        client.get_model_metadata("none")
    with pytest.raises(InferenceServerException, match=r"DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"):
        client.infer("digits", [images(served)], timeout=1)
    with pytest.raises(InferenceServerException, match="not honoured"):
        client.infer("digits", [images(served)], sequence_id=5, sequence_start=True)
