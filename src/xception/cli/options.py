"""Options that several verbs share, each with one meaning and one help text."""

from typing import Annotated

from cyclopts import Parameter

from xception.data.sources import DATA_HELP

Data = Annotated[str, Parameter(help=DATA_HELP)]
NotIn = Annotated[
    tuple[str, ...],
    Parameter(name="--not-in", help="A data set with which none of these images may be shared; may be repeated."),
]
