"""KServe's client of the protocol."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from conftest import Served
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


def ask(work: Callable[[InferenceRESTClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def test_health(served: Served) -> None:
    assert ask(lambda client: client.is_server_live(served.url))
    assert ask(lambda client: client.is_server_ready(served.url))
    assert ask(lambda client: client.is_model_ready(served.url, "digits"))


@pytest.mark.parametrize("binary", [True, False])
def test_logits_are_those_of_predict(binary: bool, served: Served) -> None:
    given = InferInput("pixels", list(served.pixels.shape), "FP32")
    given.set_data_from_numpy(served.pixels, binary_data=binary)
    request = InferRequest(model_name="digits", infer_inputs=[given])
    found = ask(lambda client: client.infer(served.url, request, model_name="digits"))
    (logits,) = [output for output in found.outputs if output.name == "logits"]
    np.testing.assert_allclose(logits.as_numpy(), served.logits, rtol=1e-5, atol=1e-5)
    assert found.model_name == "digits"


def test_failures_are_raised(served: Served) -> None:
    given = InferInput("pixels", [1], "FP32", data=[0.0])
    request = InferRequest(model_name="digits", infer_inputs=[given])
    with pytest.raises(Exception, match="expected FP32 of the shape"):
        ask(lambda client: client.infer(served.url, request, model_name="digits"))
