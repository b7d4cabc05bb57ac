"""The gates of `xception evaluate`: figures that an evaluation must reach, or else ends with exit code 1."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from xception.cli.output import percent
from xception.errors import CheckFailed, UsageError
from xception.intervals import Interval
from xception.tasks.evaluation import Evaluation


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvaluationGates:
    """The least figures that are good enough."""

    min_top1: Annotated[
        float | None, Parameter(help="Exit with code 1 if the top-1 accuracy is lower; a fraction.")
    ] = None
    min_map: Annotated[
        float | None,
        Parameter(help="Exit with code 1 if the mean average precision of multi-label data is lower; a fraction."),
    ] = None

    def check(self) -> None:
        """Refuse, before the work, figures that cannot be reached.

        Raises:
            UsageError: one is no fraction.
        """
        for option, minimum in {"--min-top1": self.min_top1, "--min-map": self.min_map}.items():
            if minimum is not None and not 0 <= minimum <= 1:
                raise UsageError(f"{option} is {minimum:g}; expected a fraction, 0.76 for 76 %")

    def check_kind(self, data: str, *, are_sets: bool) -> None:
        """Refuse, before the work, figures that the data do not have.

        Args:
            data: their name.
            are_sets: images may have several classes each.

        Raises:
            UsageError: there is one.
        """
        if self.min_top1 is not None and are_sets:
            raise UsageError(
                f"--min-top1 is of data with one class per image, and those of {data} may have several; take --min-map"
            )
        if self.min_map is not None and not are_sets:
            raise UsageError(
                f"--min-map is of multi-label data, and the images of {data} have one class each; take --min-top1"
            )

    def judge(self, result: Evaluation) -> None:
        """Refuse a result, once it is shown, that does not reach the figures.

        Raises:
            CheckFailed: a figure that is lower than was asked for, or that no image decides.
        """
        sets = result.label_sets
        _require("top-1 accuracy", result.data, result.top1, self.min_top1)
        _require("mean average precision", result.data, sets.mean_average_precision if sets else None, self.min_map)


def _require(name: str, data: str, figure: Interval | None, minimum: float | None) -> None:
    if minimum is not None and (figure is None or figure.value < minimum):
        raise CheckFailed(f"the {name} on {data} is {percent(figure)}; expected at least {minimum:.2%}")


NO_GATES = EvaluationGates()
