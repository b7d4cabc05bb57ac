"""The result document of an evaluation."""

from typing import Literal

import msgspec
import numpy as np

from xception.bundle import Score
from xception.charts import Chart
from xception.data.inventory import EMPTY, Inventory
from xception.errors import UsageError
from xception.intervals import Interval
from xception.metrics import is_skewed
from xception.pipeline.sessions import Tta
from xception.tables import ResultTable, TableResult, TableValue
from xception.tasks.charts import confused_pairs, confusion_matrix, reliability, score_curves
from xception.tasks.provenance import ResultProvenance

MAX_CLASSES_DRAWN = 50
"""A confusion matrix of more classes has cells too small to read."""

Plot = Literal["confusion", "reliability", "scores"]


class FailedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that could not be read, and why."""

    path: str
    reason: str


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose likeliest class is not its own."""

    path: str
    label: str
    predicted: str
    probability: float | None
    """Probability of the predicted class; None where only the order of the classes is known."""


class ClassScore(msgspec.Struct, frozen=True, kw_only=True):
    """One class against all others. Fractions, None where no image decides them."""

    label: str
    support: int
    """Images of this class that were seen."""
    precision: float | None
    recall: float | None
    f1: float | None
    recall_interval: Interval | None = None
    """The recall with its 95 % Wilson interval."""
    precision_interval: Interval | None = None
    """The precision with its 95 % Wilson interval."""
    roc_auc: float | None = None
    """Area under the ROC curve of this class against all others, by its probability."""
    average_precision: float | None = None
    """Precision of this class against all others, averaged over the recall."""
    roc_auc_interval: Interval | None = None
    """The area with its 95 % bootstrap interval; None but for multi-label data."""
    average_precision_interval: Interval | None = None
    """The average precision with its 95 % bootstrap interval; None but for multi-label data."""


class ClassAverages(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the classes, with 95 % bootstrap intervals; a figure that no image decides counts as zero."""

    precision: Interval
    recall: Interval
    f1: Interval


class ClassThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """The threshold of a class's probability at which its F1 is highest on these images: for other images, not for
    these."""

    label: str
    threshold: float
    f1: float


class SetMistake(msgspec.Struct, frozen=True, kw_only=True):
    """An image of multi-label data that is taken to have other classes than it has."""

    path: str
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    loss: float


class LabelSetFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures that only multi-label data have, where an image may have several classes or none; with 95 % bootstrap
    intervals over images, the exact match with Wilson's."""

    threshold: float
    """Probability from which on an image is taken to have a class."""
    exact_match: Interval | None
    """Images of which all classes are right, and no other was taken."""
    hamming_loss: float
    """Share of wrong decisions over all images and classes."""
    mean_average_precision: Interval | None
    """Mean over the classes of which there are images with and without."""
    mean_roc_auc: Interval | None
    micro: ClassAverages
    """Precision, recall and F1 over all decisions."""
    micro_average_precision: float | None
    micro_roc_auc: float | None
    classes_per_image: float
    predicted_per_image: float
    best_thresholds: tuple[ClassThreshold, ...]
    """One for each class that has images with and without."""
    mistakes: tuple[SetMistake, ...]
    """The images of the highest loss first, at most `MAX_MISTAKES`."""


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The images with at least this probability of a class, taken for the class."""

    threshold: float
    precision: float
    recall: float
    """The true positive rate of the ROC curve."""
    false_positive_rate: float


class ScoreCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The ROC and the precision-recall curve of a class against all others, the highest threshold first."""

    label: str
    points: tuple[CurvePoint, ...]


class TemperatureScaling(msgspec.Struct, frozen=True, kw_only=True):
    """Temperature scaling, judged on images that the temperature was not fitted on: each half of the images is scaled
    with the other half's."""

    temperature: float
    """Number that logits are divided by, fitted on all images: for other images, not for these."""
    of_halves: tuple[float, float]
    """Temperatures of the two halves."""
    loss: float
    expected_calibration_error: float | None
    brier_score: float


class ConfusedPair(msgspec.Struct, frozen=True, kw_only=True):
    """The images of one class that were taken for another."""

    label: str
    predicted: str
    count: int
    support: int
    """Images of the true class that were seen."""
    examples: tuple[Mistake, ...]
    """The most confident ones."""


class LabelIssue(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose label may be wrong."""

    path: str
    label: str
    """The label that it has."""
    label_probability: float
    suggested: str
    """The likeliest class."""
    probability: float


class LabelIssues(msgspec.Struct, frozen=True, kw_only=True):
    """Images whose labels confident learning (Northcutt et al. 2021) takes for wrong. It is to be believed only of
    images that the model was not trained on."""

    count: int
    """All that were found."""
    candidates: tuple[LabelIssue, ...]
    """At most `MAX_LABEL_ISSUES`, those of the least probable label first."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The images that have something in common."""

    property: str
    value: str
    images: int
    top1: Interval | None
    """None of multi-label data, which have the next two in its place."""
    exact_match: Interval | None = None
    micro_f1: float | None = None
    """F1 over all decisions; None where no image has a class or is taken to have one."""


class ConfidenceBin(msgspec.Struct, frozen=True, kw_only=True):
    """The images whose likeliest class has a probability in (low, high]; means are None without any. Of multi-label
    data every class of an image counts by itself."""

    low: float
    high: float
    images: int
    """Number of images, and of multi-label data number of pairs of an image and a class."""
    confidence: float | None
    """Mean probability."""
    accuracy: float | None
    """Share of these images whose likeliest class is right; of multi-label data, that have the class."""


class RealScore(msgspec.Struct, frozen=True, kw_only=True):
    """Top-1 against several right answers per image; `counted + uncounted = seen`."""

    top1: Interval | None
    counted: int
    uncounted: int
    """Images for which no class of the model is right."""


class VendorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts on results that a vendor's tool wrote."""

    vendor: str
    truth: str
    """The origin of the true classes."""
    values: int
    """Values or classes in a result; one more than the model's classes where one is the background."""
    scores: Literal["probabilities", "logits", "unknown"] | None
    """Meaning of the values; None where results name classes only, and `unknown` where the values lie between 0 and 1
    and do not add up to 1, so that no figure of probabilities can be given."""
    top1_of_all: tuple[float, float]
    """Top-1 of all images, were those without a usable result all wrong, and were they all right."""
    extra: tuple[str, ...]
    """Results of none of the images."""


class Evaluation(TableResult, msgspec.Struct, frozen=True, kw_only=True):
    """Result of an evaluation: fractions in [0, 1] with 95 % Wilson intervals; `seen + failed = total`."""

    bundle: str
    data: str
    backend: str
    total: int
    seen: int
    failed: int
    inventory: Inventory = EMPTY
    """Files of the data that are not among the images, and images that are among them twice."""
    top1: Interval | None
    top5: Interval | None
    """None for models with fewer than six classes, for which it would mean nothing."""
    loss: float | None
    """Mean cross-entropy in nats; for sigmoids, the binary cross-entropy averaged over the classes."""
    balanced_loss: float | None = None
    """Loss averaged within each class and then over the classes, so that each class counts equally."""
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts by true class (row) and predicted class (column), in the order of `labels`."""
    mistakes: tuple[Mistake, ...]
    """At most `MAX_MISTAKES` wrong answers, the most confident first."""
    failures: tuple[FailedImage, ...]
    """All images that failed, sorted by path."""
    provenance: ResultProvenance | None = None
    """Models, data, options, versions and machine behind the figures."""
    damaged: tuple[FailedImage, ...] | None = None
    """Images that were seen although their JPEG data are broken, with libjpeg's warning; None if not checked."""
    top_k: tuple[Interval, ...] = ()
    """Top-1, top-2 and so on, up to less than the number of classes; empty if no image was seen."""
    expected_calibration_error: float | None = None
    """Computed over the bins in `calibration`, which have equal widths."""
    calibration: tuple[ConfidenceBin, ...] = ()
    classes: tuple[ClassScore, ...] = ()
    """One per class, in the order of `labels`."""
    balanced_accuracy: float | None = None
    """Mean recall of the classes that have images."""
    macro_f1: float | None = None
    """Mean F1 of the classes that have images or were predicted."""
    weighted_f1: float | None = None
    """Mean F1 of the classes, weighted by their numbers of images."""
    matthews_correlation: float | None = None
    """Matthews' correlation, from -1 to 1; for several classes in Gorodkin's form."""
    cohens_kappa: float | None = None
    """Agreement of prediction and truth beyond chance, at most 1."""
    macro: ClassAverages | None = None
    """Means over the classes that have images or were predicted."""
    weighted: ClassAverages | None = None
    """Means over the classes, weighted by their numbers of images."""
    brier_score: float | None = None
    """Mean squared distance of all class probabilities from the truth, from 0 to 2; of multi-label data the mean over
    the classes, too, from 0 to 1."""
    roc_auc: float | None = None
    """Mean area under the ROC curve of each class against all others; with two classes, both have the same area."""
    roc_auc_weighted: float | None = None
    """The same, weighted by the images of each class."""
    average_precision: float | None = None
    """Mean average precision of each class against all others."""
    average_precision_weighted: float | None = None
    curves: tuple[ScoreCurve, ...] = ()
    """For two classes, the curves of the second; else those with the lowest average precision, the lowest first."""
    temperature: TemperatureScaling | None = None
    """None if scipy is not installed, or if there was no room to keep all logits."""
    equal_error_rate: float | None = None
    """Only for models of two classes; it is the same whichever class is the positive one."""
    confused: tuple[ConfusedPair, ...] = ()
    """The pairs of classes that are confused most, the most frequent first."""
    label_issues: LabelIssues | None = None
    """None if they were not looked for."""
    slices: tuple[Slice, ...] = ()
    """Figures by image size, colours, format and damage, for those in which the images differ."""
    real: RealScore | None = None
    """Accuracy against several right answers per image, if these were given."""
    tta: Tta | None = None
    """Test-time augmentation."""
    trained_on: int | None = None
    """Number of images that the model was trained on, found by their content; None if its bundle does not say."""
    vendor: VendorFacts | None = None
    """Facts about results that a vendor's tool wrote; None if a model was run."""
    label_sets: LabelSetFigures | None = None
    """Figures of multi-label data; None for other data."""
    subset: bool = False
    """True if the model chose only among the classes of the data."""

    def __repr__(self) -> str:
        if self.label_sets:
            mean = self.label_sets.mean_average_precision
            words = f"mean average precision {mean.value:.2%}" if mean else "no mean average precision"
            return f"Evaluation({self.bundle} on {self.data}: {words}, {self.seen} seen, {self.failed} failed)"
        top1 = f"top-1 {self.top1.value:.2%} [{self.top1.low:.2%}, {self.top1.high:.2%}]" if self.top1 else "no top-1"
        return f"Evaluation({self.bundle} on {self.data}: {top1}, {self.seen} seen, {self.failed} failed)"

    def displayed(self) -> ResultTable:
        """The accuracies with their 95 % intervals, and the number of images."""
        sets = self.label_sets
        figures = {"top-1": self.top1, "top-5": self.top5}
        if sets:
            figures = {"mean average precision": sets.mean_average_precision, "exact match": sets.exact_match}
        rows = [(name, f"{i.value:.2%}", f"{i.low:.2%} to {i.high:.2%}") for name, i in figures.items() if i]
        rows.append(("images", f"{self.total:,}", f"{self.seen:,} seen, {self.failed:,} failed"))
        return ResultTable((), rows, f"{self.bundle} on {self.data}")

    def records(self) -> ResultTable:
        """A row for each class: label, support, precision, recall with its 95 % interval (low, high), and F1."""
        return ResultTable(CLASS_COLUMNS, list(map(_class_row, self.classes)))

    def plot(self, of: Plot | None = None) -> Chart:
        """A chart of the figures.

        Args:
            of: `confusion`, the confusion matrix, or the most frequent confusions of more than 50 classes;
                `reliability`, accuracy by confidence; or `scores`, the ROC and precision-recall curves. By default
                `confusion`, and `scores` of multi-label data, whose images are not taken for one class.

        Raises:
            UsageError: the evaluation has no such figures.
        """
        of = of or ("scores" if self.label_sets else "confusion")
        if of == "confusion" and self.seen and not self.label_sets:
            if len(self.labels) <= MAX_CLASSES_DRAWN:
                return confusion_matrix(self.labels, self.confusion)
            if self.confused:
                return confused_pairs(self.confused)
        if of == "reliability" and self.seen and self.calibration:
            return reliability(self.calibration, "Decisions" if self.label_sets else "Images")
        if of == "scores" and self.curves:
            return score_curves(self.curves)
        raise UsageError(f"this evaluation has no figures for a chart of {of!r}; see `displayed()` for those it has")

    @property
    def rarest(self) -> ClassScore | None:
        """The class with the fewest images where the classes are skewed, of which top-1 says little."""
        present = [entry for entry in self.classes if entry.support]
        is_told = is_skewed(np.array([entry.support for entry in present])) and not self.label_sets
        return min(present, key=lambda entry: entry.support) if is_told else None

    def score(self) -> Score:
        """The short form that a bundle keeps."""
        return Score(
            total=self.total, seen=self.seen, failed=self.failed, top1=self.top1, top5=self.top5, loss=self.loss
        )


CLASS_COLUMNS = ("label", "support", "precision", "recall", "recall_low", "recall_high", "f1")


def _class_row(entry: ClassScore) -> tuple[TableValue, ...]:
    interval = entry.recall_interval
    bounds = (interval.low, interval.high) if interval else (None, None)
    return entry.label, entry.support, entry.precision, entry.recall, *bounds, entry.f1
