"""One small model, written once in each of its forms."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from hypothesis import HealthCheck, settings

from tests.support.reader import blown_up_tensors, digits_bundle, reader_spec, reader_tensors, weights_of_digits
from tests.support.samples import CLASSES, drawn_tensors
from xception.arch.spec import Architecture
from xception.bundle import Bundle, Graph, Model, Network, write_bundle
from xception.export.litert import litert_files
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.forms import Form
from xception.labels import Labels
from xception.preprocess import CenterCrop, Preprocess, ShorterSide
from xception.weights import weights_bytes

# How fast a machine is at the moment decides nothing: by default an example of 200 ms or more fails.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples every time, so that who changes nothing breaks nothing ...
settings.register_profile("everyday", UNTIMED, derandomize=True, database=None)
# ... and others in `make explore`; a failure it finds becomes an `@example` of the test.  Where the variable CI is set,
# Hypothesis would draw the same here too unless told otherwise.
settings.register_profile("explore", UNTIMED, derandomize=False, max_examples=1000, print_blob=True)
settings.load_profile("everyday")

PX = 32
NETWORK = Network(variant="mini_xception", num_classes=len(CLASSES), in_channels=3, width=0.5)


@pytest.fixture(autouse=True, scope="session")
def no_pauses() -> Iterator[None]:
    """Attempts to reach a server follow one another at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xception.network.pause", lambda _: None)
        yield


@pytest.fixture(scope="session")
def preprocess() -> Preprocess:
    return Preprocess(resize=ShorterSide(px=36), interpolation="bilinear", crop=CenterCrop(width_px=PX, height_px=PX))


@pytest.fixture(scope="session")
def spec() -> Architecture:
    return NETWORK.architecture()


@pytest.fixture(scope="session")
def tensors(spec: Architecture) -> dict[str, np.ndarray]:
    return drawn_tensors(spec)


@pytest.fixture(scope="session")
def labels() -> Labels:
    return Labels(CLASSES)


@pytest.fixture(scope="session")
def onnx_bytes(spec: Architecture, tensors: dict[str, np.ndarray], preprocess: Preprocess) -> bytes:
    return onnx_files(program(spec, tensors, preprocess))["model.onnx"]


@pytest.fixture(scope="session")
def forms(
    tmp_path_factory: pytest.TempPathFactory,
    preprocess: Preprocess,
    labels: Labels,
    tensors: dict[str, np.ndarray],
    onnx_bytes: bytes,
) -> dict[Form, Bundle]:
    """The model as weights and in all graph forms that a backend opens. Not to be written to."""
    root = tmp_path_factory.mktemp("bundles")
    openvino.save_model(openvino.Core().read_model(onnx_bytes), root / "model.xml", compress_to_fp16=False)
    graph = Graph(input_name="pixels", input_shape=(None, 3, PX, PX), output_name="logits")
    nhwc = program(NETWORK.architecture(), tensors, preprocess, layout="nhwc")
    contents: dict[Form, dict[str, bytes | Path]] = {
        "weights": {"weights.safetensors": weights_bytes(tensors)},
        "onnx": {"model.onnx": onnx_bytes},
        "openvino": {"model.xml": root / "model.xml", "model.bin": root / "model.bin"},
        "litert": {**litert_files(nhwc)},
    }
    graphs = {"onnx": graph, "openvino": graph, "litert": nhwc.graph}
    return {
        form: write_bundle(root / form, _model(form, preprocess, graphs.get(form)), labels, contents[form])
        for form in contents
    }


def _model(form: Form, preprocess: Preprocess, graph: Graph | None) -> Model:
    return Model(
        name="small",
        network=NETWORK,
        form=form,
        precision="float32",
        preprocess=preprocess,
        graph=graph,
    )


@pytest.fixture(scope="session")
def weights_bundle(forms: dict[Form, Bundle]) -> Bundle:
    return forms["weights"]


@pytest.fixture(scope="session")
def onnx_bundle(forms: dict[Form, Bundle]) -> Bundle:
    return forms["onnx"]


@dataclass(frozen=True)
class S3Server:
    """An object storage on this machine."""

    client: Any

    def bucket(self, name: str) -> str:
        """Make a bucket; returns its URL."""
        self.client.create_bucket(Bucket=name)
        return f"s3://{name}"

    @contextmanager
    def refusing_credentials(self) -> Iterator[None]:
        """Know nobody's credentials for the time of a block."""
        self._ask_credentials_after("0")
        yield
        self._ask_credentials_after("inf")

    def _ask_credentials_after(self, requests: str) -> None:
        url = f"{self.client.meta.endpoint_url}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(url, requests.encode(), {"Content-Type": "text/plain"})).close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server, which the environment names; one for all, since its clients are kept."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "name")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield S3Server(boto3.client("s3"))
    server.stop()


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A float ONNX bundle that is right on about 96 % of the digits. Not to be written to."""
    spec = reader_spec()
    return digits_bundle(tmp_path_factory.mktemp("reader") / "onnx", spec, reader_tensors(spec))


@pytest.fixture(scope="session")
def reader_weights(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Weights of a published variant that is right on about 97 % of the digits. Not to be written to."""
    return weights_of_digits(tmp_path_factory.mktemp("reader_weights") / "weights")


@pytest.fixture(scope="session")
def blown_up(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same network in numbers that eight bits cannot hold."""
    spec = reader_spec()
    tensors = blown_up_tensors(reader_tensors(spec))
    return digits_bundle(tmp_path_factory.mktemp("blown_up") / "onnx", spec, tensors)
