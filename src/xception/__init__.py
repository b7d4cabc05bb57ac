"""Every published Xception, exactly: convert, train, evaluate, export, quantize, benchmark and run it, with proof."""

from importlib import import_module
from typing import TYPE_CHECKING

from xception.version import __version__ as __version__

_HOMES = {
    "Adoption": "xception.adoption.adopt",
    "Benchmark": "xception.speed.benchmark",
    "Bundle": "xception.bundle",
    "Chart": "xception.charts",
    "Comparison": "xception.tasks.compare",
    "Compute": "xception.backends.base",
    "Conversion": "xception.convert.conversion",
    "Engine": "xception.pipeline.engine",
    "Evaluation": "xception.tasks.evaluation",
    "Failure": "xception.pipeline.lane",
    "GraphOptions": "xception.export.program",
    "GraphStatements": "xception.adoption.statements",
    "History": "xception.train.logs",
    "ImageClassifier": "xception.classifier",
    "Item": "xception.data.source",
    "Labels": "xception.labels",
    "Prediction": "xception.pipeline.prediction",
    "Predictions": "xception.tasks.predictions",
    "Preprocess": "xception.preprocess",
    "Quantization": "xception.quantize.record",
    "Recipe": "xception.train.recipe",
    "ResultPage": "xception.report.notebook",
    "Source": "xception.data.source",
    "UsageError": "xception.errors",
    "VARIANTS": "xception.arch.variants",
    "XceptionError": "xception.errors",
    "adopt": "xception.adoption.adopt",
    "architecture": "xception.arch.variants",
    "benchmark": "xception.speed.benchmark",
    "build": "xception.models.network",
    "compare": "xception.tasks.compare",
    "convert_checkpoint": "xception.convert.conversion",
    "evaluate": "xception.tasks.evaluate",
    "export_bundle": "xception.export.export",
    "image_files": "xception.data.folder",
    "in_memory": "xception.data.memory",
    "load": "xception.classifier",
    "load_recipe": "xception.train.recipe",
    "open_bundle": "xception.bundle",
    "open_source": "xception.data.sources",
    "predict": "xception.tasks.predict",
    "quantize_bundle": "xception.quantize.quantize",
    "read_history": "xception.train.logs",
    "result_page": "xception.report.notebook",
    "sign_bundle": "xception.signature",
    "train_network": "xception.train.trainer",
    "verify_signature": "xception.signature",
}
"""The module of each public name. Importing this package imports none of them."""

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    # The same names for type checkers and editors; a test compares the two lists.
    from xception.adoption.adopt import Adoption as Adoption
    from xception.adoption.adopt import adopt as adopt
    from xception.adoption.statements import GraphStatements as GraphStatements
    from xception.arch.variants import VARIANTS as VARIANTS
    from xception.arch.variants import architecture as architecture
    from xception.backends.base import Compute as Compute
    from xception.bundle import Bundle as Bundle
    from xception.bundle import open_bundle as open_bundle
    from xception.charts import Chart as Chart
    from xception.classifier import ImageClassifier as ImageClassifier
    from xception.classifier import load as load
    from xception.convert.conversion import Conversion as Conversion
    from xception.convert.conversion import convert_checkpoint as convert_checkpoint
    from xception.data.folder import image_files as image_files
    from xception.data.memory import in_memory as in_memory
    from xception.data.source import Item as Item
    from xception.data.source import Source as Source
    from xception.data.sources import open_source as open_source
    from xception.errors import UsageError as UsageError
    from xception.errors import XceptionError as XceptionError
    from xception.export.export import export_bundle as export_bundle
    from xception.export.program import GraphOptions as GraphOptions
    from xception.labels import Labels as Labels
    from xception.models.network import build as build
    from xception.pipeline.engine import Engine as Engine
    from xception.pipeline.lane import Failure as Failure
    from xception.pipeline.prediction import Prediction as Prediction
    from xception.preprocess import Preprocess as Preprocess
    from xception.quantize.quantize import quantize_bundle as quantize_bundle
    from xception.quantize.record import Quantization as Quantization
    from xception.report.notebook import ResultPage as ResultPage
    from xception.report.notebook import result_page as result_page
    from xception.signature import sign_bundle as sign_bundle
    from xception.signature import verify_signature as verify_signature
    from xception.speed.benchmark import Benchmark as Benchmark
    from xception.speed.benchmark import benchmark as benchmark
    from xception.tasks.compare import Comparison as Comparison
    from xception.tasks.compare import compare as compare
    from xception.tasks.evaluate import evaluate as evaluate
    from xception.tasks.evaluation import Evaluation as Evaluation
    from xception.tasks.predict import predict as predict
    from xception.tasks.predictions import Predictions as Predictions
    from xception.train.logs import History as History
    from xception.train.logs import read_history as read_history
    from xception.train.recipe import Recipe as Recipe
    from xception.train.recipe import load_recipe as load_recipe
    from xception.train.trainer import train_network as train_network
else:

    def __getattr__(name: str) -> object:
        """A public name, imported when it is first used.

        Raises:
            MissingExtra: it needs a package that is not installed.
        """
        if name not in _HOMES:
            raise AttributeError(f"module 'xception' has no attribute {name!r}")
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            from xception.extras import missing_extra

            if missing := missing_extra(error):
                raise missing from error
            raise


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
