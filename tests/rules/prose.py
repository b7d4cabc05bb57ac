"""Rules of prose: one sentence per line in pages, and words that cost a reader a second look."""

import re
from collections.abc import Iterator

MAX_CHARACTERS = 250

NOT_PROSE = re.compile(r"\s*(\||#|<!--|!\[|:::|$)")
ITEM = re.compile(r"\s*([-*]|\d+\.) +")
LINK_TARGET = re.compile(r"\]\([^)]*\)")
CODE = re.compile(rf"`[^`]*`|{LINK_TARGET.pattern}")
SENTENCE_END = re.compile(r"[.:?!][)\"*_`]*$")
TWO_SENTENCES = re.compile(r"(?<!\.\.)(?<!\b[a-z]\.[a-z])(?<!\bal)[.?!][)\"]* +[A-Z(\[`]")

UNITS = (
    "batch|channel|class|core|device|epoch|file|form|image|instance|lane|line|model|process|round|row|run|runtime|"
    "second|stage|step|turn|variant|worker"
)
NOT_NOUNS = "after|and|as|by|for|from|in|is|of|on|or|per|than|that|to|with"

WORDS = {
    "per, not a": re.compile(
        rf"\b(an? (line|row|score|figure)|images|rows|lines|files|bytes|threads|cores|lanes|scores|figures|requests|"
        rf"answers|((one|two|three|four|\d+)( (?!{NOT_NOUNS})\w+)?)) an? ({UNITS})\b(?! (at a time|at once|after))",
        re.IGNORECASE,
    ),
    "only or by itself, not alone": re.compile(r"\balone\b"),
    "next to or in addition to, not beside": re.compile(r"\bbesides?\b", re.IGNORECASE),
    "the name of what is meant, not see there": re.compile(r"\bsee there\b"),
    "what was expected, not makes no sense": re.compile(r"\bmakes no sense\b"),
    "who is meant, not whoever": re.compile(r"\bwhoever\b", re.IGNORECASE),
    "correct, follow or override, not mend, heed or go before": re.compile(
        r"\b(mend|heed)(s|ed|ing)?\b|\bgo(es)? before\b", re.IGNORECASE
    ),
}
"""Words to avoid, by what to write in their place."""


def habits(text: str) -> list[str]:
    """What to write in place of words that a text should not have."""
    return [advice for advice, pattern in WORDS.items() if pattern.search(text)]


def prose(page: str) -> Iterator[int]:
    """The numbers, counted from 0, of the lines of a page's paragraphs and list items."""
    in_code = False
    for number, line in enumerate(page.splitlines()):
        fence = line.lstrip().startswith("```")
        in_code = in_code != fence
        if not (in_code or fence or NOT_PROSE.match(line)):
            yield number


def faults(page: str) -> list[str]:
    """Lines of a page that are too long, hold no whole sentence or more than one, or words to avoid."""
    lines = [*page.splitlines(), ""]
    found = [f"{advice}: {line}" for line in lines for advice in habits(CODE.sub("", line))]
    for number in prose(page):
        line, following = lines[number : number + 2]
        text = ITEM.sub("", line, count=1)
        is_item_of_a_list = text != line and (not following.strip() or ITEM.match(following))
        if len(LINK_TARGET.sub("]", line)) > MAX_CHARACTERS:
            found.append(f"more than {MAX_CHARACTERS} characters: {line}")
        if not (SENTENCE_END.search(line) or is_item_of_a_list):
            found.append(f"no end of a sentence: {line}")
        if TWO_SENTENCES.search(CODE.sub("`", text)):
            found.append(f"two sentences: {line}")
    return found
