"""The table of `benchmarks.peers`."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

OURS = "xception, "
"""What the names of this toolkit's rows begin with."""

VALIDATE = "timm, validate.py at its defaults"
END_TO_END = "end to end"

Row = Mapping[str, Any]


def markdown(document: Mapping[str, Any]) -> str:
    """A table for every variant and precision. Ratios are to this toolkit's fastest row of the same table and column:
    above 1 the other one is faster."""
    facts = document["environment"]
    head = (
        f"{facts['cpu']}, {facts['cores']} cores, {document['date']}. Images/s, medians of {document['rounds']} rounds "
        "in which all took turns; in brackets the ratio to this toolkit's best in the same round, the median with the "
        "lowest and the highest. End to end: "
        f"{document['photos']} JPEG photographs."
    )
    rows = document["rows"]
    lines = [head, "", *_summary(rows), ""]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        for precision in dict.fromkeys(row["precision"] for row in rows):
            chosen = [row for row in rows if (row["variant"], row["precision"]) == (variant, precision)]
            if chosen:
                lines += [f"## {variant}, {precision}", "", *_table(chosen), ""]
    return "\n".join(lines)


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    """By how much this toolkit's fastest row beats the fastest peer's, of one precision and, last, of all."""
    measures = list(dict.fromkeys(measure for row in rows for measure in row["rates"]))
    yield "How many times as fast as the fastest peer this toolkit is:"
    yield ""
    yield f"| network | {' | '.join(measures)} | {END_TO_END}, compared with validate.py |"
    yield "| --- |" + " ---: |" * (len(measures) + 1)
    for variant in dict.fromkeys(row["variant"] for row in rows):
        all_of_it = [row for row in rows if row["variant"] == variant]
        for precision in (*dict.fromkeys(row["precision"] for row in all_of_it), None):
            chosen = [row for row in all_of_it if precision in (None, row["precision"])]
            ours = [row for row in chosen if row["contender"].startswith(OURS)]
            peers = [row for row in chosen if row not in ours]
            cells = [_ratio(_best(ours, measure), _best(peers, measure)) for measure in measures]
            validate = _best([row for row in all_of_it if row["contender"] == VALIDATE], END_TO_END)
            cells.append(_ratio(_best(ours, END_TO_END), validate))
            yield f"| {variant}, {precision or 'the fastest of all'} | {' | '.join(cells)} |"


def _ratio(rates: list[float] | None, reference: list[float] | None) -> str:
    """Empty without both, or with one round, which shows no spread."""
    if rates is None or reference is None or len(rates) < 2:
        return ""
    ratios = [rate / other for rate, other in zip(rates, reference, strict=True)]
    return f"{median(ratios):.2f}: {min(ratios):.2f} to {max(ratios):.2f}"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    measures = list(dict.fromkeys(measure for row in rows for measure in row["rates"]))
    best = {measure: _best([row for row in rows if row["contender"].startswith(OURS)], measure) for measure in measures}
    yield f"| contender | {' | '.join(measures)} |"
    yield "| --- |" + " ---: |" * len(measures)
    for row in rows:
        cells = [f"not measured: {row['problem']}"] if row["problem"] else [_cell(row, m, best[m]) for m in measures]
        yield f"| {row['contender']} | {' | '.join(cells)} |"


def _best(rows: Sequence[Row], measure: str) -> list[float] | None:
    measured = [row["rates"][measure] for row in rows if measure in row["rates"] and not row["problem"]]
    return max(measured, key=median, default=None)


def _cell(row: Row, measure: str, best: list[float] | None) -> str:
    rates = row["rates"].get(measure)
    if rates is None:
        return ""
    spread = f"{median(rates):.1f} ± {(max(rates) - min(rates)) / 2:.1f}"
    if best is None or rates is best:
        return f"**{spread}**" if best else spread
    ratio = _ratio(rates, best)
    return f"{spread} ({ratio})" if ratio else spread
