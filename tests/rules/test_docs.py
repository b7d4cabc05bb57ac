import pytest

from tests.rules.prose import MAX_CHARACTERS, WORDS, faults, habits
from tests.support.pages import PAGES


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_one_plain_sentence_per_line(page: str) -> None:
    assert faults(PAGES[page].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("fault", "page"),
    [
        ("no end of a sentence", "A paragraph that was wrapped\nby hand.\n"),
        ("no end of a sentence", "- an item that was wrapped\n  by hand\n"),
        ("two sentences", "The first one. The second one.\n"),
        ("two sentences", "- An item (in brackets.) And another.\n"),
        ("more than 250 characters", "word " * (MAX_CHARACTERS // 5) + "end.\n"),
        ("per, not a", "| figure | images a second |\n"),
        ("only or by itself", "Compare figures of one run alone.\n"),
    ],
)
def test_a_fault_in_a_page_would_be_noticed(fault: str, page: str) -> None:
    assert {found.partition(fault)[1] for found in faults(page)} == {fault}


@pytest.mark.parametrize(
    "page",
    [
        "One sentence ends in `code`.\nAn abbreviation of Beyer et al. does not, nor do e.g. or ...\n".replace(
            "...", "x."
        ),
        "- an item without a full stop\n- **A lead.** And what it leads to.\n",
        "```sh\nrun this alone and\n```\n\n| a table. A cell |\n",
    ],
)
def test_lines_of_whole_sentences_items_code_and_tables_are_accepted(page: str) -> None:
    found = [fault for fault in faults(page) if not fault.startswith("only or by itself")]
    assert found == []


@pytest.mark.parametrize(
    ("advice", "text"),
    [
        ("per", "Images a second, and two threads a core."),
        ("per", "A row an epoch is small."),
        ("per", "320 bytes an image decide."),
        ("per", "One line an image, or one a class."),
        ("only", "Ascend alone knows it."),
        ("next to", "The files beside it, besides others."),
        ("the name", "What is raised: see there."),
        ("what was expected", "--batch 0 makes no sense."),
        ("who is meant", "Whoever reads this."),
        ("correct, follow", "Mend the file, whose setting goes before others."),
    ],
)
def test_a_word_to_avoid_would_be_noticed(advice: str, text: str) -> None:
    assert [found.startswith(advice) for found in habits(text)] == [True]


def test_every_word_to_avoid_is_tried() -> None:
    assert len(WORDS) == 7
    assert habits("It takes one line at a time, a core per thread, and what stands next to it.") == []
