import pytest

from xception.errors import InputError
from xception.export.pbtxt import Word, read_pbtxt, write_pbtxt

DOCUMENT = {
    "name": 'a "model" with \\ in it',
    "max_batch_size": 32,
    "input": [{"name": "pixels", "data_type": Word("TYPE_FP32"), "dims": [3, -1, -1]}, {"name": "other"}],
    "policy": {"latest": {"num_versions": 1}},
}


def test_a_written_text_reads_back_as_it_was() -> None:
    found = read_pbtxt(write_pbtxt(DOCUMENT))
    assert found["name"] == [DOCUMENT["name"]]
    assert found["max_batch_size"] == [32]
    assert found["input"] == [
        {"name": ["pixels"], "data_type": ["TYPE_FP32"], "dims": [3, -1, -1]},
        {"name": ["other"]},
    ]
    assert found["policy"] == [{"latest": [{"num_versions": [1]}]}]


def test_other_spellings_read_the_same() -> None:
    assert read_pbtxt('input [ { name: "a" }, { name: "b" } ]') == {"input": [{"name": ["a"]}, {"name": ["b"]}]}
    assert read_pbtxt("dims: 3 dims: 4") == {"dims": [3, 4]}


@pytest.mark.parametrize(
    ("text", "message"), [("input {", "ends within a message"), ("name: 'a'", "not protocol buffers' text format")]
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_pbtxt(text)
