import csv
import io
import json

import pytest

from xception.pipeline.lane import Failure
from xception.pipeline.prediction import Guess, Prediction
from xception.tasks.sinks import write_csv, write_json, write_table

OUTCOMES = [
    Prediction(
        path="a, b.png",
        top=(
            Guess(label='the "cat"', index=3, probability=0.75, logit=1.0),
            Guess(label="dog", index=0, probability=0.25, logit=0.0),
        ),
    ),
    Failure("c.png", "the file is empty"),
    Prediction(path="d.png", top=(Guess(label="dog", index=0, probability=1.0, logit=2.0),)),
]


def test_a_table_has_a_line_an_image_with_percentages_or_the_reason() -> None:
    stream = io.StringIO()
    write_table(OUTCOMES, stream)
    assert stream.getvalue().splitlines() == [
        'a, b.png  the "cat" 75.0%; dog 25.0%',
        "c.png  FAILED: the file is empty",
        "d.png  dog 100.0%",
    ]


def test_csv_comes_back_through_a_csv_reader() -> None:
    stream = io.StringIO()
    write_csv(OUTCOMES, stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert [(row["path"], row["rank"], row["label"], row["failure"]) for row in rows] == [
        ("a, b.png", "1", 'the "cat"', ""),
        ("a, b.png", "2", "dog", ""),
        ("c.png", "", "", "the file is empty"),
        ("d.png", "1", "dog", ""),
    ]
    assert [float(row["probability"]) for row in rows if row["probability"]] == [0.75, 0.25, 1]


def test_json_is_one_document_that_counts_every_image() -> None:
    stream = io.StringIO()
    write_json(OUTCOMES, stream)
    document = json.loads(stream.getvalue())
    assert [prediction["path"] for prediction in document["predictions"]] == ["a, b.png", "d.png"]
    assert document["predictions"][0]["top"][0] == {"label": 'the "cat"', "index": 3, "probability": 0.75, "logit": 1.0}
    assert document["failures"] == [{"path": "c.png", "reason": "the file is empty"}]
    assert (document["total"], document["seen"], document["failed"]) == (3, 2, 1)


def test_nothing_is_a_document_too() -> None:
    stream = io.StringIO()
    write_json([], stream)
    nothing = {"predictions": [], "failures": [], "total": 0, "seen": 0, "failed": 0}
    assert json.loads(stream.getvalue()) == nothing | {"inventory": {"left_out": {}, "repeated": 0}}


def test_without_a_stream_the_result_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(OUTCOMES[2:])
    assert capsys.readouterr().out == "d.png  dog 100.0%\n"
