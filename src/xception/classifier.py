"""A model as one object: loaded by any of its names, called with any images."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from xception.arguments import require_type
from xception.backends.base import DEFAULT_COMPUTE, Compute, Pixels
from xception.bundle import Bundle
from xception.convert.hub import OnProgress
from xception.data.memory import ImageLike
from xception.data.pixels import Mode
from xception.data.source import Source
from xception.data.sources import open_source, packages_for
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.export.request import check_weights
from xception.extras import require_all
from xception.pipeline.engine import Engine
from xception.pipeline.requirements import packages_to_run
from xception.pipeline.sessions import Tta
from xception.preprocess import Preprocess
from xception.resolve import resolve_model
from xception.tasks.evaluate import evaluate
from xception.tasks.evaluation import Evaluation
from xception.tasks.predictions import Predictions
from xception.tasks.real_labels import RealLabels
from xception.weights import with_new_classifier

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from xception.models.network import Xception


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageClassifier:
    """A loaded model: call it with images to classify them. Several threads may use it at the same time.

    ```python
    with xception.load("demo/bundles/weights") as model:
        print(model("photo.jpg").label)
    ```
    """

    engine: Engine
    """The model in its runtime."""

    @property
    def bundle(self) -> Bundle:
        """The bundle that was loaded, or made of the model: its folder, description and class names."""
        return self.engine.bundle

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.bundle.labels.names

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing: called with a Pillow image, it returns the network's input, (C, H, W) float32."""
        return self.bundle.model.preprocess

    def __call__(
        self, images: ImageLike | Iterable[ImageLike], *, top: int = 5, threshold: float | None = None
    ) -> Predictions:
        """Classify images, and return an entry for each in order: its likeliest classes, or the reason why it has none.

        A model without classes gives embeddings instead: `model("photo.jpg").embedding`.

        Args:
            images: a file, folder, archive or URL of images; a Pillow image, an encoded file as bytes or open, an 8-bit
                array (H, W) or (H, W, 3), or an 8-bit torch tensor (C, H, W); or several of these, also as one array or
                tensor.
            top: classes per image.
            threshold: all classes of at least this probability in place of the likeliest ones, which may be none: for
                models whose images may have several.

        Raises:
            InputError: a path that does not exist, or something that is no image.
            UsageError: `top` is no number of classes, a threshold that is no probability, or for answers that are none;
                or the model was closed.
        """
        return Predictions(self.engine.predict(images, top=top, threshold=threshold, max_wait_s=None))

    def module(self, *, num_classes: int | None = None) -> "Xception":
        """The network as a torch module of its own, in evaluation mode: for features, class maps and fine-tuning.

        It takes normalised pixels (N, C, H, W), as `preprocess` makes them, and returns logits (N, K).

        Args:
            num_classes: replace the classifier by a new one of this many classes, with weights of zero; with 0, the
                module returns embeddings (N, D).

        Raises:
            UsageError: the bundle holds a graph instead of weights.
            MissingExtra: torch is not installed.
        """
        check_weights(self.bundle)
        require_all("torch")
        from xception.models.network import build

        network, values = self.bundle.model.network, self.bundle.tensors()
        if num_classes is not None:
            require_type(num_classes, int, "num_classes", "a whole number")
            hidden = network.hidden_features if num_classes else None
            network = msgspec.structs.replace(network, num_classes=num_classes, hidden_features=hidden)
            values = with_new_classifier(values, network.architecture())
        return build(network.architecture(), values).eval()

    def evaluate(
        self,
        data: str | Path | Source,
        *,
        top: int = 5,
        class_map: Mapping[str, str] = MappingProxyType({}),
        subset: bool = False,
        tta: Tta | None = None,
        real: RealLabels | None = None,
        threshold: float | None = None,
    ) -> Evaluation:
        """Measure accuracy on labelled images, as `xception.evaluate`, which has the other arguments and the errors.

        Args:
            data: a data set, or what `xception.open_source` takes.
        """
        if isinstance(data, str | Path):
            require_all(*packages_for(str(data)))
            data = open_source(data)
        options: dict[str, Any] = {"top": top, "class_map": class_map, "subset": subset, "tta": tta, "real": real}
        return evaluate(self.engine, data, threshold=threshold, **options)

    def export(
        self,
        to: str,
        out: str | Path,
        *,
        options: GraphOptions | None = None,
        pixels: Pixels | None = None,
        upstream_python: str | None = None,
        overwrite: bool = False,
    ) -> Bundle:
        """Write the network in another form, as `xception.export_bundle`, which has the arguments and the errors."""
        return export_bundle(
            self.bundle,
            to,
            out,
            options=options,
            pixels=pixels,
            upstream_python=upstream_python,
            overwrite=overwrite,
        )

    def close(self) -> None:
        """Free the runtime."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        network = self.bundle.model.network
        return (
            f"ImageClassifier({self.bundle.model.name!r}: {network.title}, {network.answers}, "
            f"in {self.engine.session.facts.name})"
        )


def load(
    model: Bundle | str | Path,
    *,
    backend: str | None = None,
    compute: Compute = DEFAULT_COMPUTE,
    mode: Mode | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    verify: bool = True,
    on_progress: OnProgress = lambda *_: None,
) -> ImageClassifier:
    """Load a model by any of its names.

    A model that is not a bundle is fetched if necessary and converted. The resulting bundle is kept in the cache, so
    that later calls use it directly.

    Args:
        model: a bundle or a training run's folder; a checkpoint of any source; the name of published weights, such as
            `keras_xception.imagenet`; `hf-hub:owner/name`; a URL of a checkpoint.
        backend: see `Engine.open`, also for the next four arguments.
        compute: cores and precision.
        mode: the precision with which images are resized.
        batch_size: images per inference.
        workers: threads of a stream.
        verify: see `open_bundle`.
        on_progress: called during a download, with the bytes received so far and the bytes of the whole file.

    Raises:
        UsageError: an unknown name, a file that can be understood in several ways, or options that do not fit.
        InputError: the file does not exist, or is no model that can be read.
        EnvironmentFault: the model cannot be fetched, or the cache cannot be written.
        MissingExtra: packages are not installed; the sentence has the command that installs all of them.
    """
    require_all(*packages_to_run(model, backend))
    bundle = resolve_model(model, verify=verify, on_progress=on_progress, on_note=logger.info)
    options: dict[str, Any] = {"mode": mode, "batch_size": batch_size, "workers": workers}
    return ImageClassifier(engine=Engine.open(bundle, backend=backend, compute=compute, **options))
