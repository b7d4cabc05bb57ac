import re

import pytest

from xception.interchange.ascend_speed import AscendSpeed, speed_file, speed_lines

SPEED = AscendSpeed(
    batch=16,
    images=50_000,
    end_to_end=185.903,
    read=191.266,
    preprocess=190.761,
    infer=187.131,
    calls=401.046,
    postprocess=11.6954 * 16,
)

SAMPLE = """\
[e2e] throughputRate: 185.903, latency: 268957
[data read] throughputRate: 191.266, moduleLatency: 5.22833
[preprocess] throughputRate: 190.761, moduleLatency: 5.24217
[infer] throughputRate: 187.131, Interface throughputRate: 401.046, moduleLatency: 3.94051
[post] throughputRate: 11.6954, moduleLatency: 85.5035
"""
"""Of the tool itself, batch 16, 50,000 images, as Ascend ModelZoo-PyTorch's page on ResNet-101 prints it."""

NUMBER = re.compile(r"(?<=: )[\d.]+")


def test_the_lines_are_the_tools_own_but_for_their_figures() -> None:
    assert NUMBER.sub("N", speed_lines(SPEED)) == NUMBER.sub("N", SAMPLE)


def test_the_figures_are_the_tools_own_but_for_the_last_line_which_counts_images() -> None:
    ours, theirs = ([float(number) for number in NUMBER.findall(text)] for text in (speed_lines(SPEED), SAMPLE))
    assert ours[:8] == pytest.approx(theirs[:8], rel=1e-5)
    assert ours[9:] == pytest.approx([theirs[9] * 16, theirs[10] / 16], rel=1e-5)


def test_the_models_own_scripts_find_the_rate_by_its_place() -> None:
    """Their parse.py takes the eighth value between a colon and a comma, and the batch from the file's name."""
    content = speed_lines(SPEED)
    values = [value.strip() for value in re.findall(r":(.*?),", content.replace("\n", ",") + ",")]
    assert float(values[7].replace("samples/s", "")) * 4 == pytest.approx(4 * 401.046)
    assert f"result/{speed_file(16)}".split("_")[3] == "16"
    assert speed_file(16) == "perf_vision_batchsize_16_device_0.txt"
