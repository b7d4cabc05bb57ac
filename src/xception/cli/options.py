"""Options that several verbs share, each with one meaning and one help text."""

from typing import Annotated

from cyclopts import Parameter

from xception.data.sources import DATA_HELP
from xception.errors import UsageError

Data = Annotated[str, Parameter(help=DATA_HELP)]
OptionalData = Annotated[str | None, Parameter(help=DATA_HELP)]
NotIn = Annotated[
    tuple[str, ...],
    Parameter(name="--not-in", help="A data set with which none of these images may be shared; may be repeated."),
]
Workers = Annotated[
    int | None,
    Parameter(help="Worker threads (default: two per core); raise the number where reading is slow."),
]


def check_at_least_one(**numbers: int | None) -> None:
    """Refuse options, named with underscores, whose number is below one.

    Raises:
        UsageError: there is one.
    """
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {number}; expected at least 1")
