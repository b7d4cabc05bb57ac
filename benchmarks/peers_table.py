"""The table of `benchmarks.peers`."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from xception.statistics import bootstrap_ratio

OURS = "xception, "
"""What the names of this toolkit's rows begin with."""

Row = Mapping[str, Any]


def markdown(document: Mapping[str, Any]) -> str:
    """A table for every variant and precision. Ratios are to this toolkit's fastest row of the same table and column:
    above 1 the other one is faster."""
    facts = document["environment"]
    head = (
        f"{facts['cpu']}, {facts['cores']} cores, {document['date']}. Images/s, medians of {document['rounds']} rounds "
        "in which all took turns; in brackets what that is to this toolkit's best, with a 95 % interval. End to end: "
        f"{document['photos']} JPEG photographs."
    )
    lines = [head, ""]
    rows = document["rows"]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        for precision in dict.fromkeys(row["precision"] for row in rows):
            chosen = [row for row in rows if (row["variant"], row["precision"]) == (variant, precision)]
            if chosen:
                lines += [f"## {variant}, {precision}", "", *_table(chosen), ""]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    measures = list(dict.fromkeys(measure for row in rows for measure in row["rates"]))
    best = {measure: _best([row for row in rows if row["contender"].startswith(OURS)], measure) for measure in measures}
    yield f"| contender | {' | '.join(measures)} |"
    yield "| --- |" + " ---: |" * len(measures)
    for row in rows:
        cells = [f"not measured: {row['problem']}"] if row["problem"] else [_cell(row, m, best[m]) for m in measures]
        yield f"| {row['contender']} | {' | '.join(cells)} |"


def _best(rows: Sequence[Row], measure: str) -> list[float] | None:
    measured = [row["rates"][measure] for row in rows if measure in row["rates"]]
    return max(measured, key=median, default=None)


def _cell(row: Row, measure: str, best: list[float] | None) -> str:
    rates = row["rates"].get(measure)
    if rates is None:
        return ""
    spread = f"{median(rates):.1f} ± {(max(rates) - min(rates)) / 2:.1f}"
    if best is None or rates is best:
        return f"**{spread}**" if best else spread
    if len(rates) < 2:  # too few for an interval
        return spread
    ratio = bootstrap_ratio([rate / reference for rate, reference in zip(rates, best, strict=True)])
    return f"{spread} ({ratio.value:.2f}: {ratio.low:.2f} to {ratio.high:.2f})"
