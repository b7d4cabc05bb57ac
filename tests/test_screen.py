import json

import pytest

from xception.screen import as_text, escaped_json, one_line, printable, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("日本語\u3000ä 👩\u200d💻", "日本語\u3000ä 👩\u200d💻"),
        ("\x1b]0;PWNED\x07\x1b[2J", r"\x1b]0;PWNED\x07\x1b[2J"),
        ("one\ntwo\rthree\u2028", r"one\ntwo\rthree\u2028"),
        ("gpj.\u202eexe\u2066", r"gpj.\u202eexe\u2066"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_names_that_are_not_utf8_become_text() -> None:
    assert as_text("a\udcff\u202e") == "a\\xff\u202e"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:hunter2@host/x", "http://***@host/x"),
        ("s3://key@bucket/a", "s3://***@bucket/a"),
        ("https://h/a?token=ab&page=2&X-Amz-Signature=cd#x", "https://h/a?token=***&page=2&X-Amz-Signature=***#x"),
        ("zip://a::https://u:p@h/x.zip?sig=abc", "zip://a::https://***@h/x.zip?sig=***"),
        ("https://h/a?AWSAccessKeyId=ab&monkey=c", "https://h/a?AWSAccessKeyId=***&monkey=c"),
        ("mail a@b.c about https://h/a@2", "mail a@b.c about https://h/a@2"),
    ],
)
def test_credentials_in_urls_are_hidden(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
    assert one_line(f"cannot read {url}\nat all") == f"cannot read {shown} at all"


def test_a_document_keeps_its_meaning_and_hides_nothing() -> None:
    values = ["\u202e", "\x1b\x7f", "\U000e0001", "ä\n日", "\u200d"]
    text = escaped_json(json.dumps(values, ensure_ascii=False, indent=1))
    assert json.loads(text) == values
    assert "\u202e" not in text
    assert "\U000e0001" not in text
    assert "日" in text
