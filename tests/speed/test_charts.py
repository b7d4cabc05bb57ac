import pytest

from tests.report.test_benchmark import measured
from xception.speed.charts import throughput

RUNS = [(run.backend, run) for run in measured().runs]


def test_throughput_names_every_run_its_bottleneck_and_its_rates() -> None:
    svg = throughput(RUNS).__html__()
    for name, run in RUNS:
        assert f"{name}: batch {run.batch}, {run.bottleneck} is the bottleneck" in svg
        for rate in (*run.stages.values(), run.end_to_end):
            assert f">{rate.images_per_second:,.0f}<" in svg


@pytest.mark.parametrize("count", [1, 2, 3])
def test_throughput_draws_any_number_of_runs(count: int) -> None:
    assert throughput([RUNS[0]] * count).__html__().count("is the bottleneck") == count


def test_names_of_runs_are_text_and_never_markup_or_formulas() -> None:
    svg = throughput([(r"<script>$\frac{</script>", RUNS[0][1])]).__html__()
    assert "<script" not in svg
    assert r"&lt;script&gt;$\frac{&lt;/script&gt;" in svg
