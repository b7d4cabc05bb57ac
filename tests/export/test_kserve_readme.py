import json
import re

from xception.bundle import Bundle
from xception.export.kserve_readme import container_file, readme


def test_the_container_file_names_the_bundle_and_makes_the_image_that_it_speaks_of() -> None:
    text = container_file(["a=/b", "--open"], image="digits:1", extras=["onnx", "serve"], digest="0123")
    assert 'LABEL xception-bundle-digest="0123"' in text
    assert "--build-arg EXTRAS=onnx,serve" in text
    (made,) = re.findall(r"--target serve .* -t (\S+) \.", text)
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == [made]
    assert "docker build -t digits:1 ." in text
    (command,) = re.findall(r"^CMD (.*)$", text, re.MULTILINE)
    assert json.loads(command) == ["a=/b", "--open"]


def test_the_page_says_what_is_to_be_done_and_what_was_not_run(onnx_bundle: Bundle) -> None:
    text = readme("digits", onnx_bundle, image="digits:1", storage_uri="s3://a/b", memory=3 << 30)
    assert onnx_bundle.model.digest in text
    assert "inferenceservice/digits" in text
    assert "3,072 MiB of memory per copy" in text
    assert "Not run: a container, or a cluster." in text
