"""The address of the service over gRPC; what it answers there is in `test_grpc_api.py`."""

import asyncio
import socket

import pytest

from tests.serve.running import Running
from xception.errors import EnvironmentFault
from xception.serve.bodies import BodyBudget
from xception.serve.grpc_api import GrpcApi
from xception.serve.grpc_server import GrpcSettings, grpc_serving
from xception.serve.measures import Measures


def test_a_port_that_is_taken_is_said_in_a_sentence(server: Running) -> None:
    service = server.service
    measures = Measures(service.models)
    api = GrpcApi(service=service, measures=measures, keyring=None, budget=BodyBudget(1 << 20))

    async def listen(port: int) -> None:
        async with grpc_serving(api, GrpcSettings(address="127.0.0.1", port=port), service.limits):
            pass

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EnvironmentFault, match="nothing can listen for gRPC at "):
            asyncio.run(listen(taken.getsockname()[1]))
