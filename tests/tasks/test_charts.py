import re

from xception.tasks.charts import confusion_matrix, reliability
from xception.tasks.evaluation import ConfidenceBin


def test_the_reliability_diagram_draws_a_bar_a_filled_bin() -> None:
    def bars(images: list[int]) -> int:
        entries = [
            ConfidenceBin(low=index / 4, high=(index + 1) / 4, images=count, confidence=0.5, accuracy=0.5)
            for index, count in enumerate(images)
        ]
        return len(re.findall(r"fill: var\(--(?:blue|grey)\)", reliability(entries).__html__()))

    # The dots of the line are drawn from one definition, which adds none.
    assert bars([3, 0, 2, 1]) - bars([3, 0, 0, 1]) == 2


def test_the_confusion_matrix_counts_what_was_right_in_blue_and_what_was_wrong_in_orange() -> None:
    svg = confusion_matrix(("cat", "dog"), ((1234, 0), (7, 2))).__html__()
    assert re.findall(r">([\d,]+)</text>", svg) == ["1,234", "7", "2"]
    assert svg.count("fill: var(--blue)") == 2
    assert svg.count("fill: var(--warm)") == 1
